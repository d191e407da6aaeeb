"""Products of a row or a batch of rows with a stored matrix."""
