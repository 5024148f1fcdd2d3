"""Backups of warehouse, replica, lake and the records of the runs, of one moment; see `docs/backup.md`."""
