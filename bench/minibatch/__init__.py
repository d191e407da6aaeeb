"""Benchmarks of the mini-batch solver; each module is a command."""
