"""Product search: documents made from Gold, kept in Typesense, found by words and by meaning."""
