"""Networks that leave Python: their sizes and speeds."""
