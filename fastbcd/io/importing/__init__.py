"""Read trained networks of scikit-learn and PyTorch."""
