"""How to compress a weight matrix: one projection per scheme.

A scheme is a small parameter object in scikit-learn's style. It can be cloned, compared
and searched over (``GridSearchCV(clf, {"scheme__sparsity": [0.8, 0.9]})``), and holds no state.
Schemes are combined by adding them up: ``Prune(sparsity=0.95) + Quantize(bits=4)``.
"""

from fastbcd.schemes.combination import Combination as Combination
from fastbcd.schemes.combine import combine as combine
from fastbcd.schemes.low_rank import LowRank as LowRank
from fastbcd.schemes.protocol import Scheme as Scheme
from fastbcd.schemes.prune import Prune as Prune
from fastbcd.schemes.quantize import Quantize as Quantize
from fastbcd.schemes.tensor_train import TensorTrain as TensorTrain

__all__ = ["Combination", "LowRank", "Prune", "Quantize", "Scheme", "TensorTrain"]
