"""Models in and out: reading, exporting and storing networks."""
