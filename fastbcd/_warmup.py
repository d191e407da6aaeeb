"""Compile every kernel once, ahead of time: ``fastbcd.warmup()`` and ``fastbcd warmup``."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, TextIO

import numpy as np

from fastbcd._progress import Progress

DTYPES = ("float32", "float64")
NOT_BY_ESTIMATORS = {"minibatch_step.add_spread"}
"""Kernels that no estimator calls, whatever its parameters: here, noise together with a scheme."""


@dataclass(frozen=True)
class Warmup:
    """What :func:`warmup` did.

    Parameters
    ----------
    n_kernels : int
        Kernels that there are.
    n_compiled : int
        Functions that had to be compiled, once for each type of their arguments; 0 if the cache
        held them all.
    missed : tuple of str
        Public kernels that were not reached.
    seconds : float
        Time that it took.
    """

    n_kernels: int
    n_compiled: int
    missed: tuple[str, ...]
    seconds: float

    def __str__(self) -> str:
        if self.n_compiled:
            done = f"{self.n_compiled} functions compiled"
        else:
            done = "nothing had to be compiled"
        line = f"{self.n_kernels} kernels ready in {self.seconds:.1f} s: {done}."
        return line + (f" Not reached: {', '.join(self.missed)}." if self.missed else "")


def warmup(
    dtypes: str | Sequence[str] = DTYPES, *, verbose: int = 0, stream: TextIO | None = None
) -> Warmup:
    """Compile all kernels and keep the machine code in the cache, so that no fit has to wait.

    Run it once after an installation or an upgrade, for example when an image is built. The code
    belongs to the processor and to the versions of Python, Numba and fastbcd that compiled it.

    Parameters
    ----------
    dtypes : {"float32", "float64"} or sequence of them, default=both
        Types of the data that will be used. One type takes about half the time.
    verbose : int, default=0
        1 shows a progress bar, or a line now and then where there is no terminal.
    stream : file, default=sys.stderr
        Where that goes.

    Returns
    -------
    Warmup
        How many kernels there are, how many functions were compiled, and the seconds.

    Raises
    ------
    ValueError
        If a type is neither "float32" nor "float64".

    Notes
    -----
    It fits tiny networks in every way that has kernels of its own. With a full cache that takes
    a few seconds, with an empty one about a minute.

    Examples
    --------
    >>> import fastbcd
    >>> done = fastbcd.warmup("float32")  # doctest: +SKIP
    """
    chosen = (dtypes,) if isinstance(dtypes, str) else tuple(dtypes)
    for name in chosen:
        if name not in DTYPES:
            raise ValueError(f'dtypes={dtypes!r} must be "float32", "float64" or both.')
    import fastbcd_kernels

    start = time.perf_counter()
    compiled: list[str] = []
    hooks = list(fastbcd_kernels.before_compiling)
    steps = [step for name in chosen for step in _recipes(np.dtype(name))]
    progress = Progress(verbose, stream)
    progress.stage("compiling the kernels", len(steps))
    # The notice that all this takes a while is for those who did not ask for it.
    fastbcd_kernels.before_compiling[:] = [compiled.append]
    try:
        with progress:
            for number, (text, run) in enumerate(steps):
                progress.update(number, text)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    run()
    finally:
        fastbcd_kernels.before_compiling[:] = hooks
    found = kernels()
    return Warmup(len(found), len(compiled), missed(found), time.perf_counter() - start)


def missed(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the public kernels that were never called in this process.

    A kernel that another one of its file calls is compiled into that, and counts as called.
    """
    inside = {
        f"{name.partition('.')[0]}.{called}"
        for name, kernel in found.items()
        for called in getattr(kernel, "py_func", kernel).__code__.co_names
    }
    return tuple(
        name
        for name, kernel in found.items()
        if not getattr(kernel, "signatures", True)
        and not name.partition(".")[2].startswith("_")
        and name not in inside | NOT_BY_ESTIMATORS
    )


def kernels() -> dict[str, Any]:
    """Return every kernel by ``module.name``: whatever the modules of the kernels define."""
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


def _recipes(dtype: np.dtype[Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what to run, with a name: together it reaches every kernel for data of ``dtype``."""
    from scipy.sparse import csr_array

    from fastbcd.activations import ACTIVATIONS
    from fastbcd.estimators import BCDClassifier, BCDRegressor
    from fastbcd.layers import AveragePool2D, Conv2D, MaxPool2D
    from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain

    rng = np.random.default_rng(0)
    x = rng.standard_normal((60, 8)).astype(dtype)
    three = (x[:, 0] > 0.4).astype(int) + (x[:, 1] > 0)
    labels = (x[:, :3] > 0).astype(int)
    weight = rng.uniform(0.5, 1.5, len(x))
    pixels = rng.standard_normal((60, 16)).astype(dtype)
    convolutions = (Conv2D(3, 2, padding=1), MaxPool2D(2), AveragePool2D(2), Conv2D(3, 1), 8)
    unwritable = x.copy()
    unwritable.flags.writeable = False
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, dtype, "w+", shape=x.shape)
        mapped[:] = x
    schemes = (
        Prune(sparsity=0.5),
        Prune(density=0.5, structure="neuron"),
        Prune(structure="2:4"),
        LowRank(rank=2),
        TensorTrain(rank=2),
        Quantize(bits=2),
        Quantize(bits=2, per="column"),
        Quantize(bits=3, method="uniform"),
        Quantize(method="ternary", per="column"),
        Prune(sparsity=0.5) + Quantize(bits=2),
    )

    fit = partial(_fit, x=x)
    for solver in ("full", "minibatch"):
        classify = partial(fit, BCDClassifier, three, solver=solver)
        for name in ACTIVATIONS:
            yield f"{solver}, {name}", partial(classify, activation=name)
        for loss in ("squared", "hinge"):
            yield f"{solver}, {loss}", partial(classify, loss=loss)
        for scheme in schemes:
            yield f"{solver}, {scheme!r}", partial(classify, scheme=scheme)
        yield f"{solver}, weights", partial(classify, weight=weight)
        yield f"{solver}, read-only", partial(classify, x=unwritable)
        yield f"{solver}, sparse", partial(classify, x=csr_array(x))
        yield f"{solver}, memory map", partial(classify, x=mapped)
        yield f"{solver}, labels", partial(fit, BCDClassifier, labels, solver=solver)
        yield f"{solver}, regression", partial(fit, BCDRegressor, x[:, 0], solver=solver)
        images = partial(_fit, x=pixels, hidden=convolutions, input_shape=(4, 4))
        yield f"{solver}, images", partial(images, BCDClassifier, three, solver=solver)
        yield f"{solver}, outputs", partial(fit, BCDRegressor, x[:, :2], solver=solver)
    yield "certificate", partial(fit, BCDClassifier, three, certificate=True)
    stream = BCDClassifier((8, 8), random_state=0)
    yield "stream", partial(stream.partial_fit, x, three, classes=[0, 1, 2])
    for scheme in schemes:
        yield f"compress, {scheme!r}", partial(_compress, stream, x, three, scheme=scheme)
    # Wide and sparse enough for products of the non-zeros alone.
    wide = BCDClassifier((48, 48), random_state=0)
    yield "stream, wide", partial(wide.partial_fit, x, three, classes=[0, 1, 2])
    yield "compress, sparse", partial(_compress, wide, x, three, scheme=Prune(sparsity=0.85))
    many = Quantize(bits=16, method="uniform")  # too many levels for the exact grid
    yield "many levels", partial(many.project, np.ascontiguousarray(x[:8]))
    yield "compress, budget", partial(_compress, stream, x, None, ratio=1.5)


def _fit(
    kind: Any, y: Any, x: Any, weight: Any = None, hidden: Any = (8, 8), **options: Any
) -> None:
    """Fit and predict. 15 epochs are enough for mini-batches to fix the form of their copies."""
    max_iter = 15 if options.get("solver") == "minibatch" else 3
    model = kind(hidden, max_iter=max_iter, random_state=0, **options)
    model.fit(x, y, weight).predict(x)
    _predict_one(model, x)


def _compress(model: Any, x: Any, y: Any, **budget: Any) -> None:
    small = model.compress(x, y, epochs=2, **budget)
    small.predict(x)
    _predict_one(small, x)


def _predict_one(model: Any, x: Any) -> None:
    """Predict one row: it has kernels of its own, some of them for rows of many zeros."""
    model.predict(x[:1])
    model.predict(0 * x[:1])
