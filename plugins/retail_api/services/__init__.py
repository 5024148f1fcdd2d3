"""What the API does for its routes."""
