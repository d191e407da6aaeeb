"""How a row or a batch is multiplied by a stored matrix."""
