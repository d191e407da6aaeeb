"""How to compress a weight matrix: one projection per scheme.

A scheme is a small parameter object in scikit-learn's style. It can be cloned, compared
and searched over (``GridSearchCV(clf, {"scheme__sparsity": [0.8, 0.9]})``), and holds no state.
"""

from fastbcd.schemes._base import Scheme as Scheme
from fastbcd.schemes.low_rank import LowRank as LowRank
from fastbcd.schemes.prune import Prune as Prune
from fastbcd.schemes.tensor_train import TensorTrain as TensorTrain

__all__ = ["LowRank", "Prune", "Scheme", "TensorTrain"]
