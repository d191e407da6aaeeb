"""Which size to try next."""
