"""An ONNX graph from a network."""
