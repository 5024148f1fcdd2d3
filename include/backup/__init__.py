"""Backups of the lake, the records of the runs and the audit trail, and restores of the whole system from them.

Other packages import from here alone; see `docs/backup.md`.
"""

from include.backup.making import BackedUp, back_up
from include.backup.manifest import BackupFailed, Backups, list_backups
from include.backup.restoring import Restored, restore

__all__ = ["BackedUp", "BackupFailed", "Backups", "Restored", "back_up", "list_backups", "restore"]
