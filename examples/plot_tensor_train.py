"""
Tensor trains and their rank
============================

A weight matrix, reshaped into a tensor with many small modes, becomes a train of small cores. The
rank determines how much is kept.
"""

import matplotlib.pyplot as plt
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastbcd import BCDClassifier
from fastbcd.display import FrontierDisplay, WeightDisplay
from fastbcd.schemes import LowRank, TensorTrain

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)


def train(scheme):
    clf = BCDClassifier((64, 32), scheme=scheme, max_iter=30, random_state=0)
    return clf.fit(X_train, y_train)


networks = {
    "tensor train": [train(TensorTrain(rank=rank)) for rank in (2, 4, 8)],
    "low rank": [train(LowRank(rank=rank)) for rank in (2, 4, 8)],
}
for name, some in networks.items():
    for clf in some:
        print(f"{name:12}  {clf.network_.n_bytes:6} bytes  {clf.score(X_test, y_test):.4f}")

# %%
# At the same rank, a train is not smaller than two factors here, because the matrices are small.
# For layers with thousands of inputs and outputs, a train grows only with the logarithm of the size
# of the layer.

FrontierDisplay.from_path(networks, X_test, y_test).plot()

# %%
# The first layer at rank 2 and at rank 8.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for ax, clf in zip(axes, networks["tensor train"][::2], strict=True):
    WeightDisplay.from_estimator(clf).plot(ax=ax)
    ax.set_title(f"rank {clf.scheme.rank}", loc="left")

# %%
# The stored cores:

print(networks["tensor train"][0].layers_[0])
print([core.shape for core in networks["tensor train"][0].layers_[0].cores])
