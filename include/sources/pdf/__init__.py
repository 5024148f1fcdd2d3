"""PDF invoices and tables -> records."""
