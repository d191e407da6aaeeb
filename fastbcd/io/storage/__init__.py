"""A network and what surrounds it as arrays and JSON, and back."""
