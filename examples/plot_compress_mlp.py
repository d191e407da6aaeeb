"""
Compress a scikit-learn MLP
===========================

A network that scikit-learn trained is made sixteen times smaller. No labels are needed, only
rows like those that it will see.
"""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbcd import compress
from fastbcd.display import CompressionDisplay, WeightDisplay
from fastbcd.schemes import Prune

warnings.simplefilter("ignore", ConvergenceWarning)  # scikit-learn's, after 60 epochs

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, random_state=0, stratify=y
)

# %%
# The network comes in a Pipeline, as it often does. The Pipeline is taken apart and put together
# again; the original stays as it is.

mlp = make_pipeline(StandardScaler(), MLPClassifier((256, 64), max_iter=60, random_state=0))
mlp.fit(X_train, y_train)

small = compress(mlp, X_train, ratio=16, random_state=0)
print(f"before {mlp.score(X_test, y_test):.4f}, after {small.score(X_test, y_test):.4f}")
small.compression_report_

# %%
# Where the bytes went, and what each layer lost before all layers were refined together.

CompressionDisplay.from_estimator(small).plot()

# %%
# If one wants pruning alone, and knows how much of it:

pruned = compress(mlp, X_train, y_train, scheme=Prune(sparsity=0.95), random_state=0)
print(f"pruned {pruned.score(X_test, y_test):.4f}")

# %%
# The pixels that the first layer still looks at: the margins of the images are always empty.

WeightDisplay.from_estimator(pruned[-1]).plot(kind="inputs", image_shape=(8, 8))
