"""Making a batch live in PostgreSQL."""
