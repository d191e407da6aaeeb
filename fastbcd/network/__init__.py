"""Feed-forward networks as plain data, and transformations that preserve their outputs."""
