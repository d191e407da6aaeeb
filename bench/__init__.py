"""Benchmarks: what the package promises about speed, measured. See ``bench/README.md``."""
