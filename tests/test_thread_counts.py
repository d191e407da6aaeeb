"""Small networks come out the same with any number of threads of BLAS."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
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


IN_A_PROCESS = """
import hashlib
import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_info
from fastbcd import BCDClassifier

def digest(model):
    arrays = (*model.coefs_, *model.intercepts_)
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()

X, y = load_digits(return_X_y=True)
dense = BCDClassifier((64,), random_state=0).fit(X, y)
print(max(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"))
print(digest(dense), digest(dense.compress(X, y, ratio=20, random_state=0)))
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_fit_and_compress_are_the_same_bits_with_one_thread_and_with_two():
    """The threads are set before Python starts, as users do."""
    found = []
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads)}
        command = [sys.executable, "-c", IN_A_PROCESS]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        used, digests = done.stdout.splitlines()
        assert used == threads
        found.append(digests)
    assert found[0] == found[1]
