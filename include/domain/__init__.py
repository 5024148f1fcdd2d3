"""What an invoice line is, and the rules it must meet."""
