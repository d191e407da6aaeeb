"""
Learn from a stream
===================

Rows arrive in batches, are used once and are not stored. With a scheme, ``predict`` uses a
compressed network at any time.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification

from fastbcd import BCDClassifier
from fastbcd.schemes import Prune

X, y = make_classification(9000, 40, n_informative=15, n_classes=4, class_sep=1.5, random_state=0)
X_test, y_test = X[8000:], y[8000:]

dense = BCDClassifier((64,), random_state=0)
pruned = BCDClassifier((64,), scheme=Prune(sparsity=0.8), random_state=0)
scores = {"dense": [], "pruned, one weight in five": []}
seen = np.arange(400, 8001, 400)
for end in seen:
    batch = slice(end - 400, end)
    for name, clf in zip(scores, (dense, pruned), strict=True):
        clf.partial_fit(X[batch], y[batch], classes=np.arange(4))
        scores[name].append(clf.score(X_test, y_test))

figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, some), color, marker in zip(
    scores.items(), ("#0072B2", "#D55E00"), ("o", "s"), strict=True
):
    ax.plot(seen, some, color=color, marker=marker, markersize=4, label=name)
ax.set(xlabel="rows seen", ylabel="accuracy on held-out rows")
ax.legend(frameon=False)

# %%
# For comparison, a fit with all rows: several passes, and compression that grows during training.

whole = BCDClassifier((64,), scheme=Prune(sparsity=0.8), max_iter=10, random_state=0)
whole.fit(X[:8000], y[:8000])
print(f"stream {scores['pruned, one weight in five'][-1]:.4f}")
print(f"fit    {whole.score(X_test, y_test):.4f}")
