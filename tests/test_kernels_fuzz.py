"""No numbers make a kernel crash, run for ever, or write where it must not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_fuzz import CASES, DONE
from sklearn.datasets import load_iris

from fastbcd import BCDClassifier
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.schemes.prune import hard_threshold
from fastbcd.utils.kernel_types import TYPES

SCRIPT = Path(__file__).with_name("kernel_fuzz.py")


def test_every_kernel_is_among_the_cases():
    assert set(CASES) == set(TYPES)


@pytest.mark.slow  # three thousand calls, and all kernels loaded or compiled in a new process
@pytest.mark.parametrize(
    "environment",
    [
        {},
        # As plain Python the kernels check the bounds of their arrays.
        {"NUMBA_DISABLE_JIT": "1"},
    ],
    ids=["compiled", "interpreted"],
)
def test_every_kernel_comes_back(environment):
    # A process of its own: a crash is one failure, not the end of the run.
    done = subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    last = done.stdout.splitlines()[-1] if done.stdout else "the start"
    assert done.returncode == 0, f"{last}: exit status {done.returncode}\n{done.stderr}"
    assert last == DONE


def test_hard_threshold_refuses_what_has_no_largest_entries():
    with pytest.raises(ValueError, match="weight holds NaN"):
        hard_threshold(np.full((4, 16), np.nan), 32)
    for count in (-1, 65):
        with pytest.raises(ValueError, match=f"n_nonzero={count} must lie between 0 and the 64"):
            hard_threshold(np.ones((4, 16)), count)
    x = np.array([[1.0, -np.inf, 3.0, 2.0]])
    np.testing.assert_array_equal(hard_threshold(x, 2), [[0, -np.inf, 3, 0]])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [50, 70_000])
def test_a_pruned_matrix_keeps_its_nan_to_be_seen(dtype, n):
    w = np.random.default_rng(0).standard_normal((n // 10, 10)).astype(dtype)
    w[3, 4] = np.nan
    kept = Prune(sparsity=0.5).project(w).to_dense()
    assert np.isnan(kept[3, 4])
    assert np.isnan(kept).sum() == 1
    assert abs(np.count_nonzero(kept) - n // 2) <= 1


@pytest.mark.parametrize("scheme", [Prune(sparsity=0.5), Quantize(bits=4), LowRank(rank=2)])
def test_features_whose_squares_overflow_are_refused(scheme):
    x, y = load_iris(return_X_y=True)
    for size, message in ((1e16, None), (1e18, "overflow float32"), (1e30, "overflow")):
        rows = x.astype(np.float32) * np.float32(size)
        clf = BCDClassifier((16,), encoding=None, random_state=0).fit(rows, y)
        encoded = BCDClassifier((16,), random_state=0).fit(rows, y)
        if encoded.network_.encoding is not None:  # its features lie in [0, 1]
            small = encoded.compress(rows, y, scheme=scheme, epochs=1)
            assert small.score(rows, y) > 0.9
        if message is None:
            assert clf.compress(rows, y, scheme=scheme, epochs=1).score(rows, y) > 0.9
            continue
        with pytest.raises(ValueError, match=message):
            clf.compress(rows, y, scheme=scheme, epochs=1)


@pytest.mark.parametrize(
    "scheme",
    [
        Prune(sparsity=0.5, structure="neuron"),
        Prune(structure="2:4"),
        Prune(sparsity=0.5, structure="4x4"),
        Quantize(bits=4),
        Quantize(bits=4, method="uniform"),
        Prune(sparsity=0.5) + Quantize(bits=3),
        LowRank(rank=2),
        TensorTrain(rank=2),
    ],
    ids=str,
)
def test_no_scheme_makes_finite_weights_of_nan(scheme):
    w = np.random.default_rng(0).standard_normal((12, 16))
    assert np.isfinite(scheme.project(w).to_dense()).all()
    w[3, 4] = np.nan
    try:
        found = scheme.project(w).to_dense()
    except ValueError:  # of a decomposition that does not converge
        return
    assert np.isnan(found[3, 4])
