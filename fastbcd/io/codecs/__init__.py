"""Bytes: packed integers, entropy-coded streams, and the container of a file."""
