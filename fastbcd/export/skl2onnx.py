"""Converters of BCDClassifier and BCDRegressor for those who call skl2onnx themselves."""

from fastbcd.io.export.onnx.pipeline import register as register

__all__ = ["register"]
