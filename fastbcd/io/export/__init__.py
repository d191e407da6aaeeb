"""Networks as ONNX, C, PyTorch modules and scikit-learn estimators."""
