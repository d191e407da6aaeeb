"""Where multiplying by the stored form breaks even with the dense matrix.

    python -m bench.formats.rule [--rounds 9]

Prints the time of the stored form over that of the dense product, for one row, for one row with
half of its inputs zero, and for 64 and 1024 rows, by density or by the size of the factors. The
bounds in ``fastbcd/formats/products/`` are read off this table. One BLAS thread.

For developers: it calls the stored product directly, also where ``predict`` would not.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

from bench.timing import race
from fastbcd.formats import DenseMatrix, LowRankMatrix, SparseMatrix
from fastbcd.formats.products.product import Product
from fastbcd.formats.products.row_chain import Workspace

SHAPES = [(784, 300), (300, 100), (1024, 1024)]
WAYS = [("1 row", 1, 1.0), ("1 row, half zeros", 1, 0.5), ("64", 64, 1.0), ("1024", 1024, 1.0)]


def call(product: Product, v: np.ndarray, n_out: int) -> Callable[[], None]:
    bias, space = np.zeros(n_out, v.dtype), Workspace()
    if len(v) == 1:
        return partial(product.row, v[0], bias, 0.0, np.empty(n_out, v.dtype), space)
    return partial(product.rows, v, bias, 0.0, np.empty((len(v), n_out), v.dtype), space)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        print(f"\n{dtype:40}" + "".join(f"{name:>20}" for name, _, _ in WAYS))
        for shape in SHAPES:
            dense = rng.normal(size=shape).astype(dtype)
            forms: dict[str, Product] = {}
            for density in (0.02, 0.05, 0.1, 0.2, 0.3):
                sparse = SparseMatrix.from_dense(dense * (rng.random(shape) < density))
                forms[f"density {density}"] = sparse._sparse_product
            for share in (0.1, 0.33, 0.5, 0.7):
                rank = max(1, round(share * dense.size / sum(shape)))
                left = rng.normal(size=(shape[0], rank)).astype(dtype)
                right = rng.normal(size=(rank, shape[1])).astype(dtype)
                forms[f"factors {share}"] = LowRankMatrix(left, right)._factor_product
            cells: dict[str, list[float]] = {name: [] for name in forms}
            for _, n, nonzero in WAYS:
                v = rng.normal(size=(n, shape[0])) * (rng.random((n, shape[0])) < nonzero)
                every = [DenseMatrix(dense).product(batch=n > 1), *forms.values()]
                base, *times = race(
                    [call(p, v.astype(dtype), shape[1]) for p in every], args.rounds
                )
                for name, seconds in zip(forms, times, strict=True):
                    cells[name].append(seconds / base)
            for name, ratios in cells.items():
                label = f"{shape[0]} x {shape[1]}, {name}"
                print(f"{label:40}" + "".join(f"{ratio:20.2f}" for ratio in ratios))


if __name__ == "__main__":
    main()
