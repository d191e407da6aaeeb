"""Tables that break assumptions, each with rows to learn from and many more to judge by."""

from __future__ import annotations

import numpy as np

N_TEST = 2000


def _signal(rng, n, d=8):
    """Return inputs and a smooth, not linear signal in them."""
    x = rng.standard_normal((n, d))
    return x, x[:, 0] + np.sin(2 * x[:, 1]) + x[:, 2] * x[:, 3] + 0.3 * rng.standard_normal(n)


def few_rows(rng):
    """30 rows."""
    x, s = _signal(rng, 30 + N_TEST, 4)
    return x, s, 30


def many_classes(rng):
    """100 classes with six rows each."""
    centres = 2 * rng.standard_normal((100, 10))
    label = np.concatenate([np.tile(np.arange(100), 6), rng.integers(100, size=N_TEST)])
    return centres[label] + rng.standard_normal((len(label), 10)), label, 600


def wide(rng):
    """5,000 columns and 100 rows."""
    hidden = rng.standard_normal((100 + N_TEST // 4, 10))
    x = hidden @ rng.standard_normal((10, 5000)) + rng.standard_normal((len(hidden), 5000))
    return x, hidden[:, 0] + hidden[:, 1], 100


def units(rng):
    """Columns in units of 1e-9 to 1e9."""
    x, s = _signal(rng, 600 + N_TEST)
    return x * 10.0 ** np.linspace(-9, 9, 8), s, 600


def heavy_tails(rng):
    """Cauchy columns."""
    x, _ = _signal(rng, 600 + N_TEST)
    x = rng.standard_cauchy(x.shape)
    return x, np.tanh(x[:, 0]) + np.tanh(x[:, 1] / 2) + 0.3 * rng.standard_normal(len(x)), 600


def duplicates(rng):
    """Every row three times."""
    x, s = _signal(rng, 200 + N_TEST)
    index = np.concatenate([np.tile(np.arange(200), 3), np.arange(200, len(x))])
    return x[index], s[index], 600


def collinear(rng):
    """Constant columns, and columns that are nearly the sum of two others."""
    x, s = _signal(rng, 600 + N_TEST)
    near = x[:, :1] + x[:, 1:2] + 1e-9 * rng.standard_normal((len(x), 3))
    constant = np.full((len(x), 2), [0.0, 7.5])
    return np.hstack([x, near, constant]), s, 600


def rare(rng):
    """1 % of the rows are positive."""
    x, s = _signal(rng, 2000 + N_TEST)
    return x, (s > np.quantile(s, 0.99)).astype(int), 2000


def one_hot(rng):
    """Blocks of indicators alone."""
    codes = rng.integers(12, size=(800 + N_TEST, 6))
    effects = rng.standard_normal((6, 12))
    s = effects[np.arange(6), codes].sum(axis=1) + 0.3 * rng.standard_normal(len(codes))
    return np.eye(12)[codes].reshape(len(codes), -1), s, 800


def leak(rng):
    """One column is the label."""
    x, s = _signal(rng, 600 + N_TEST)
    return np.hstack([x, (s > 0)[:, None]]), (s > 0).astype(int), 600


def small_integers(rng):
    """int8."""
    x, s = _signal(rng, 600 + N_TEST)
    return np.clip(np.round(30 * x), -128, 127).astype(np.int8), s, 600


def booleans(rng):
    """bool."""
    x = rng.random((600 + N_TEST, 12)) < 0.5
    s = x[:, 0] * 2.0 - x[:, 1] + (x[:, 2] ^ x[:, 3]) + 0.3 * rng.standard_normal(len(x)) - 1
    return x, s, 600


def frame(rng):
    """A DataFrame with a constant column."""
    import pandas as pd

    x, s = _signal(rng, 600 + N_TEST, 5)
    columns = {f"c{k}": x[:, k] for k in range(5)}
    return pd.DataFrame({**columns, "same": 3}), s, 600


TABLES = (
    few_rows, many_classes, wide, units, heavy_tails, duplicates, collinear, rare, one_hot, leak,
    small_integers, booleans, frame,
)  # fmt: skip


def split(table, seed=0):
    """Return the training rows and targets, and those to judge by."""
    x, target, n = table(np.random.default_rng(seed))
    head = x.iloc[:n] if hasattr(x, "iloc") else x[:n]
    tail = x.iloc[n:] if hasattr(x, "iloc") else x[n:]
    return head, target[:n], tail, target[n:]


def labels(target):
    """Return classes: the target itself if it has integers, otherwise whether it is above zero."""
    return target if target.dtype.kind in "iu" else (target > 0).astype(int)
