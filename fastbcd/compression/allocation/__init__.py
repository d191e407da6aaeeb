"""Distribution of a budget over the layers."""
