"""
Add a compression scheme of your own
====================================

A Kronecker product of two small matrices, in 60 lines: :doc:`/extend` explains them.
"""

# sphinx_gallery_thumbnail_path = '_static/thumb-scheme.svg'

# %%
# The scheme and its format
# -------------------------
# One class defines the compressed matrix, the other how to compute it.

# [scheme:begin]
from dataclasses import dataclass

import numpy as np

from fastbcd.formats import Format, Step
from fastbcd.schemes import Scheme


class KroneckerMatrix(Format):
    """The matrix A ⊗ B, stored as A (p, q) and B (r, s)."""

    kind = "kronecker"
    dtype = n_params = flops = None  # known for each instance

    def __init__(self, a, b):
        self.a, self.b = a, b
        self.shape = (a.shape[0] * b.shape[0], a.shape[1] * b.shape[1])
        self.dtype = a.dtype
        self.n_params = a.size + b.size
        self.flops = 2 * b.size * a.shape[0] + 2 * a.size * b.shape[1]

    def matmul(self, v):
        blocks = v.reshape(len(v), self.a.shape[0], self.b.shape[0])  # (n, p, r)
        return (self.a.T @ (blocks @ self.b)).reshape(len(v), self.shape[1])

    def to_dense(self):
        return np.kron(self.a, self.b)

    def state_dict(self):
        return {"a": self.a, "b": self.b}

    @classmethod
    def from_state(cls, state):
        return cls(state["a"], state["b"])

    def scaled(self, factor):
        return type(self)(self.a * self.dtype.type(factor), self.b)

    def steps(self):  # first B on p vectors of length r, then A on s interleaved ones of length p
        p, s = self.a.shape[0], self.b.shape[1]
        return [Step(self.b, batch=p), Step(self.a, batch=s, interleaved=True)]

    def parameters(self):
        return [self.a, self.b]

    def with_parameters(self, parameters):
        return type(self)(*parameters)

    def pull_back(self, gradient):
        (p, q), (r, s) = self.a.shape, self.b.shape
        blocks = gradient.reshape(p, r, q, s)
        return [np.einsum("prqs,rs->pq", blocks, self.b), np.einsum("prqs,pq->rs", blocks, self.a)]


@dataclass
class Kronecker(Scheme):
    """Replace each layer by the nearest Kronecker product, A of shape (p, q)."""

    outer: tuple[int, int] = (2, 2)

    def check(self, shape):
        if shape[0] % self.outer[0] or shape[1] % self.outer[1]:
            raise ValueError(f"outer={self.outer} must divide the shape {shape}.")

    def project(self, weight, warm=None):
        self.check(weight.shape)
        p, q = self.outer
        r, s = weight.shape[0] // p, weight.shape[1] // q
        blocks = weight.reshape(p, r, q, s).transpose(0, 2, 1, 3).reshape(p * q, r * s)
        u, d, vt = np.linalg.svd(blocks, full_matrices=False)
        root = np.sqrt(d[0])
        return KroneckerMatrix((root * u[:, 0]).reshape(p, q), (root * vt[0]).reshape(r, s))


# [scheme:end]

# %%
# Train with it
# -------------
# Nothing has to be registered: the scheme works like those of the package.

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from fastbcd import BCDClassifier
from fastbcd.schemes import LowRank

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

clf = BCDClassifier((64, 32), scheme=Kronecker(outer=(8, 8)), max_iter=60, random_state=0)
clf.fit(X_train, y_train)
print(f"accuracy {clf.score(X_test, y_test):.4f}")
print(clf.compression_report_)

# %%
# Compress with it, and combine it
# --------------------------------

dense = BCDClassifier((64, 32), max_iter=60, random_state=0).fit(X_train, y_train)
mixed = {0: LowRank(rank=6), 1: Kronecker(outer=(8, 4))}
small = dense.compress(X_train, y_train, scheme=mixed, epochs=5)
print(f"accuracy {small.score(X_test, y_test):.4f}, {small.network_.n_bytes} bytes")

# %%
# Save and export it
# ------------------
# The refinement changes A and B, a file stores them, and C multiplies by one after the other.

import tempfile
from pathlib import Path

from fastbcd import load

with tempfile.TemporaryDirectory() as folder:
    small.save(Path(folder, "kronecker.safetensors"))
    again = load(Path(folder, "kronecker.safetensors"))
    small.to_c(Path(folder, "kronecker.h"))
    header = Path(folder, "kronecker.h").read_text()
print((again.predict(X_test) == small.predict(X_test)).all(), f"{len(header)} characters of C")

# %%
# Search over it
# --------------

clf.set_params(max_iter=15)
search = GridSearchCV(clf, {"scheme__outer": [(2, 2), (8, 8)]}, cv=2).fit(X_train, y_train)
print(search.best_params_)
