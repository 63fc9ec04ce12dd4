"""Names no classes."""
