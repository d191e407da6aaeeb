"""
Compress a scikit-learn MLP
===========================

A network trained by scikit-learn becomes sixteen times smaller. No labels are needed, only typical
rows.
"""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fastbcd import compress
from fastbcd.display import CompressionDisplay, WeightDisplay
from fastbcd.schemes import Prune

warnings.simplefilter("ignore", ConvergenceWarning)  # scikit-learn's, after 60 epochs

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, random_state=0, stratify=y
)

# %%
# The network is the last step of a Pipeline. ``compress`` returns a Pipeline with the same steps
# and a compressed network; the original is not changed.


def to_unit(pixels):
    return pixels / 16


network = MLPClassifier((256, 64), max_iter=60, random_state=0)
mlp = make_pipeline(FunctionTransformer(to_unit), network).fit(X_train, y_train)

small = compress(mlp, X_train, ratio=16, random_state=0)
print(f"before {mlp.score(X_test, y_test):.4f}, after {small.score(X_test, y_test):.4f}")
small.compression_report_

# %%
# The bytes of each layer, and its error before all layers were refined together.

CompressionDisplay.from_estimator(small).plot()

# %%
# A scheme with an amount sets the form of the layers, here pruning:

pruned = compress(mlp, X_train, y_train, scheme=Prune(sparsity=0.95), random_state=0)
print(f"pruned {pruned.score(X_test, y_test):.4f}")

# %%
# The pixels that the first layer still uses. Pixels in the margins, which hardly any digit covers,
# keep hardly any weights. Scale pixels by a common factor, as here: a ``StandardScaler`` would turn
# the few inked values of such a pixel into huge inputs, and more of its weights would be kept.

rare = np.count_nonzero(X_train, axis=0) < 10
kept = pruned[-1].network_.layers[0].weight.to_dense() != 0
share = kept[rare].sum() / kept.sum()
print(f"{rare.sum()} pixels are inked in fewer than 10 of {len(X_train)} images.")
print(f"They have {share:.1%} of the weights that the first layer keeps.")
assert share < 0.01
WeightDisplay.from_estimator(pruned[-1]).plot(kind="inputs", image_shape=(8, 8))
