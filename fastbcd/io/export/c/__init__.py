"""One C99 header from a network."""
