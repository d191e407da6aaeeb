"""scikit-learn's face of the package."""

from fastbcd.estimators.classifier import BCDClassifier as BCDClassifier
from fastbcd.estimators.classifier import BCDRegressor as BCDRegressor
from fastbcd.estimators.compress import compress as compress

__all__ = ["BCDClassifier", "BCDRegressor", "compress"]
