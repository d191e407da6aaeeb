"""What rows of data say of a layer: moments, metrics, redundancy."""
