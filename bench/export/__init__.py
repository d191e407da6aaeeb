"""Benchmarks of what leaves Python: files, ONNX and C."""
