"""Small networks come out the same with any number of threads of BLAS."""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

from fastbcd import BCDClassifier, compress
from fastbcd.schemes import Prune

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)


def weights(model):
    return [*model.coefs_, *model.intercepts_]


def test_compress_does_not_depend_on_the_number_of_threads():
    dense = BCDClassifier((32,), solver="minibatch", max_iter=3, random_state=0).fit(X, Y)
    found = []
    for threads in (1, 2):
        with threadpool_limits(threads):
            small = compress(dense, X, Y, scheme=Prune(sparsity=0.9), epochs=3, random_state=0)
            found.append(weights(small))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
