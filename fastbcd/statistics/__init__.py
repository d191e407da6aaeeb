"""Statistics of the data at a layer: moments, metrics and redundancy."""
