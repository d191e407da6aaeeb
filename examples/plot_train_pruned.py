"""
Train a network that is pruned from the start
=============================================

A scheme makes compression a part of the objective: the network is trained towards weights of which
only one in ten is kept, and ``predict`` uses only these.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastbcd import BCDClassifier
from fastbcd.display import WeightDisplay
from fastbcd.schemes import Prune

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

dense = BCDClassifier((64, 32), random_state=0).fit(X_train, y_train)
pruned = BCDClassifier((64, 32), scheme=Prune(sparsity=0.9), random_state=0)
pruned.fit(X_train, y_train)

for name, model in (("dense", dense), ("pruned", pruned)):
    score, size = model.score(X_test, y_test), model.network_.n_bytes
    print(f"{name:6}  accuracy {score:.4f}  {size} bytes")

# %%
# The report; in a notebook it is a table with bars:

pruned.compression_report_

# %%
# The weights that were kept, with sign and size.

WeightDisplay.from_estimator(pruned).plot()

# %%
# A trained network can also be pruned afterwards: without data, which keeps the largest weights, or
# with data, which is much better.

projected = dense.compress(scheme=Prune(sparsity=0.9))
refined = dense.compress(X_train, y_train, scheme=Prune(sparsity=0.9), epochs=10)
print(f"largest weights alone   {projected.score(X_test, y_test):.4f}")
print(f"reconstructed, refined  {refined.score(X_test, y_test):.4f}")
