"""What the warehouse's tables are."""
