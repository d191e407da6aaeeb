"""Threads of one process that share work on rows, columns or ranges."""
