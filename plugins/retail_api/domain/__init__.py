"""What the API speaks of: entities and requests, apart from the tables they are read from."""
