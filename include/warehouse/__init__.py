"""The star schema in PostgreSQL: tables, migrations, staging, publishing and reads."""
