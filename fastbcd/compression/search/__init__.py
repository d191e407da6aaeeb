"""Search for the smallest size."""
