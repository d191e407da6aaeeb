"""Latency of the formats, and where their products break even with dense ones."""
