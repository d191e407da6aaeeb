"""Bytes of a saved network, beside the entropy of the symbols that it consists of.

    python -m bench.export.file_size [--fresh]

The bound is the zeroth-order entropy of the gaps between non-zeros and of the codes, each by its
own frequencies, which a decoder would have to be told besides, plus all other numbers as they are.
"""

from __future__ import annotations

import argparse

import numpy as np

from bench.export.networks import networks
from fastbcd import storage


def entropy_bytes(symbols):
    """Return the zeroth-order entropy of all ``symbols`` in bytes."""
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def bound(layer):
    """Return the bytes that one layer needs at least, with symbols coded one by one."""
    matrix, total = layer.weight, layer.intercept.nbytes
    if hasattr(matrix, "row_lengths"):
        rows = np.repeat(np.arange(matrix.shape[0]), matrix.row_lengths)
        places = rows * matrix.shape[1] + matrix.columns
        total += entropy_bytes(np.diff(places, prepend=-1))
    if hasattr(matrix, "codes"):
        scale = 0 if matrix.scale is None else np.asarray(matrix.scale).nbytes
        return total + entropy_bytes(matrix.codes) + matrix.codebook.nbytes + scale
    values = matrix.values if hasattr(matrix, "values") else matrix.weight
    return total + values.nbytes


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fresh", action="store_true", help="train and compress again")
    found, data = networks(parser.parse_args().fresh)
    print(f"{'network':16s} {'accuracy':>8s} {'bytes':>8s} {'bound':>8s} {'over':>6s}  per layer")
    for name, estimator in found.items():
        size = len(storage.to_bytes(estimator))
        least = sum(map(bound, estimator.network_.layers))
        layers = ", ".join(str(storage.encoded_size(matrix)) for matrix in estimator.layers_)
        print(
            f"{name:16s} {estimator.score(data.x_test, data.y_test):8.4f} {size:8d} {least:8.0f} "
            f"{size / least - 1:6.1%}  {layers}"
        )
    dense, _, compressed = found.values()
    total = sum(matrix.n_params for matrix in dense.layers_[:-1])
    kept = sum(np.count_nonzero(matrix.to_dense()) for matrix in compressed.layers_[:-1])
    print(f"hidden weights kept: {kept} of {total}, {kept / total:.2%}")


if __name__ == "__main__":
    main()
