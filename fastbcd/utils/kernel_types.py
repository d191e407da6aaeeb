"""Argument types of every kernel, so that kernels can be compiled without being run."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import numpy as np

LETTERS = {
    "d": np.float64,
    "s": np.float32,
    "i": np.int64,
    "j": np.int32,
    "u": np.uint64,
    "h": np.uint16,
    "b": np.uint8,
    "t": np.bool_,
}
"""Array types by letter.

Two more letters depend on the data: F is the dtype of the data, K the unsigned integer of the same
size. The digit after the letter is the number of axes. A final ``r`` marks a read-only array.
Without a digit, x is a float and n an int; n2 is a tuple of two ints."""

TYPES = {
    "activation_step.piecewise_linear_step": "F2 F2 F2 x x x x d1",
    "activation_step.hard_tanh_step": "F2 F2 F2 x x x d1",
    "activation_step.sigmoid_step": "F2 F2 F2 x x x x x x d1 x",
    "batch_steps.take_steps": (
        "s2 s2 s1 s2 i2 i1 i2 s1 s1 s2 s2 s2 s2 d3 d1 s1 j1 n n x x x x n n n x x"
    ),
    "codebook_fit.optimal_cuts": "d1 d1 d1 i1 d1 d1 j2",
    "codebook_fit.assign": "F2 d1 d1 h2",
    "codebook_fit.grid_sums": "d2 d1 n d1 d1",
    "codebook_fit.snap": "s1 s1 s1 s1 j1 s1",
    "codebook_metric.nearest_plane": "d2 d2 i1 i1 d1 d1 d1 n n d2 d1 i1",
    "codebook_metric.descend": "d2 i1 i1 d1 d1 d1 n n n d1 i1",
    "codebook_metric.normal_equations": "d2 i1 i1 d1 i1 n n d3 d2",
    "dense_step.step": "s2 s1 x x x s2 s2 s1",
    "loss_descent.squared_descent": "F2 F1 F2 F1 F1",
    "loss_descent.softmax_descent": "F2 F1 F2 F1 x F1",
    "loss_descent.logistic_descent": "F2 F1 F2 F1 x F1",
    "loss_descent.hinge_descent": "F2 F1 F2 F1 F1",
    "masked_refit.masked_refit": "d2 d2 i1 i1 n n d1",
    "masked_refit.masked_inverses": "s2 i1 i1 i1 n n s1",
    "minibatch_step.gather_rows": "F2 i1 F1 n x F2",
    "minibatch_step.add_noise": "F2 F1 n x",
    "minibatch_step.add_spread": "F2 x n n F1 n F1 F2",
    "minibatch_step.center_rows": "F2 F1 F1 x",
    "minibatch_step.mask_piecewise_linear": "F2 F2 x F1",
    "minibatch_step.mask_hard_tanh": "F2 F2 F1",
    "minibatch_step.running_mean": "F2 F1 x F1",
    "minibatch_weights.momentum_update": "F2 F2 F2 F2 t2 x x x",
    "minibatch_weights.scale_on_support": "F2 F1 t2",
    "minibatch_weights.average": "F1 F1 x",
    "output_step.squared_step": "F2 F2 F2 x x d1",
    "output_step.hinge_step": "F2 F2 F2 x x d1",
    "output_step.logistic_step": "F2 F2 F2 x x d1 x",
    "output_step.cross_entropy_step": "F2 F2 F2 x x d1 x",
    "patches.gather_patches": "F2 n3 n2 n2 n2 F2",
    "patches.scatter_patches": "F2 n3 n2 n2 n2 F2",
    "patches.move_images": "F2 n3 i2 F2",
    "pooling.average_pool": "F2 n3 n2 F2",
    "pooling.add_to_windows": "F2 n3 n2 x F2",
    "pooling.max_pool": "F2 n3 n2 F2",
    "pooling.max_pool_back": "F2 F2 n3 n2 F2",
    "pooling.max_pool_step": "F2 F2 F2 n3 n2 d1 d1 d1 x x x d1",
    "residual.weighted_squared_distance": "F2 F2 d1",
    "residual.column_sums": "F2 d1 d1",
    "residual.add_bias_piecewise_linear": "F2 F1 x",
    "row_chain.chain_row": "F1 n i2 F1 F1 b1 h1 u1 F1 u1 F2 F1",
    "sparse_batch.gather": "F2 i1 i1 b1 n n n s2",
    "sparse_batch.forward": "i1 i1 s1 s1 s2 s2",
    "sparse_batch.backward": "i1 i1 s1 s2 s2",
    "sparse_batch.gradient": "i1 i1 s2 s2 s1 s1",
    "sparse_batch.step": "s1 i1 i1 i1 s1 s1 x x x s1 s1 s1",
    "sparse_product.sparse_block": "F2 F1 b1 h1 u1 F1 F1 x F2",
    "sparse_product.finish_block": "F2 F1 F1 x",
    "sparse_product.transpose_block": "F2 F2",
    "spd_solve.spd_solve": "d2 d2",
    "top_k.kth_largest_key": "K1 n n",
    "top_k.hard_threshold": "F1 K1 n n F1",
}
"""Argument types of each public kernel, by ``module.name``."""

IN_SINGLE = (
    "minibatch_step.mask_piecewise_linear",
    "residual.column_sums",
    "residual.add_bias_piecewise_linear",
    "sparse_batch.gather",
    "row_chain.chain_row",
    "top_k.hard_threshold",
)
"""Kernels that ``compress`` calls in float32, whatever the dtype of the data."""


def kernels() -> dict[str, Any]:
    """Return every function that the kernel modules define, by ``module.name``."""
    import fastbcd_kernels

    found = {}
    for module in iter_modules(fastbcd_kernels.__path__):
        name = f"fastbcd_kernels.{module.name}"
        for key, value in vars(import_module(name)).items():
            function = getattr(value, "py_func", value)
            ours = callable(value) and getattr(function, "__module__", "") == name
            if ours and not isinstance(value, type):
                found[f"{module.name}.{key}"] = value
    return found


def untyped(names: list[str]) -> tuple[str, ...]:
    """Return the public kernels among ``names`` that :data:`TYPES` does not list."""
    return tuple(
        name for name in names if name not in TYPES and not name.partition(".")[2].startswith("_")
    )


def compile_module(module: str, dtypes: list[str]) -> None:
    """Compile all kernels of a module for the given dtypes, or load them from the cache."""
    for name, types in TYPES.items():
        owner, _, function = name.partition(".")
        if owner == module:
            kernel = getattr(import_module(f"fastbcd_kernels.{module}"), function)
            single = ["float32"] if name in IN_SINGLE else []
            for arguments in _examples(types, sorted({*dtypes, *single})):
                kernel.compile(tuple(map(kernel.typeof_pyval, arguments)))


def _examples(types: str, dtypes: list[str]) -> Iterator[list[Any]]:
    """Yield example arguments, one list per dtype if the types depend on the dtype, else one."""
    for dtype in dtypes if {"F", "K"} & set(types) else dtypes[:1]:
        yield [_example(text, np.dtype(dtype)) for text in types.split()]


def _example(text: str, data: np.dtype[Any]) -> Any:
    if text in "nx":
        return 1 if text == "n" else 1.0
    if text[0] == "n":
        return (1,) * int(text[1])
    letters: dict[str, Any] = {**LETTERS, "F": data, "K": np.dtype(f"u{data.itemsize}")}
    array = np.zeros((1,) * int(text[1]), letters[text[0]])
    array.flags.writeable = not text.endswith("r")
    return array
