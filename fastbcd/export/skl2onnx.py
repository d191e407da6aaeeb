"""Converters of BCDClassifier and BCDRegressor for those who call skl2onnx themselves."""

from fastbcd.estimators.exports import register as register

__all__ = ["register"]
