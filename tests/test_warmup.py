"""The warm-up: every kernel has its types, they are those that estimators use, helpers may fail."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_array

import fastbcd
import fastbcd_kernels
from fastbcd.cli import main
from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.layers import AveragePool2D, Conv2D, MaxPool2D
from fastbcd.network.layers.activations import ACTIVATIONS
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.utils import kernel_types as _kernel_types
from fastbcd.utils import warmup as _warmup

jit_only = pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled"
)


def compiling(monkeypatch):
    """Return a list to which the names of all kernels are added that are compiled from now on."""
    compiled = []
    monkeypatch.setattr(fastbcd_kernels, "before_compiling", [compiled.append])
    return compiled


# The types of the kernels


def test_kernels_are_discovered():
    found = _kernel_types.kernels()
    files = {path.stem for path in Path(fastbcd_kernels.__file__).parent.glob("*.py")}
    assert {name.split(".")[0] for name in found} == files - {"__init__"}
    assert "top_k.hard_threshold" in found


def test_the_types_of_every_public_kernel_are_known():
    found = _kernel_types.kernels()
    assert _kernel_types.untyped(list(found)) == (), (
        "Add the types of these kernels to fastbcd/_kernel_types.py, so that the first fit that "
        "needs them does not wait."
    )
    assert set(_kernel_types.TYPES) <= set(found)
    assert set(_kernel_types.IN_SINGLE) <= set(_kernel_types.TYPES)
    assert _kernel_types.untyped(["top_k.new", "top_k._inner"]) == ("top_k.new",)


def test_as_many_types_as_arguments():
    for name, kernel in _kernel_types.kernels().items():
        for call in _kernel_types.TYPES.get(name, "").split(" | "):
            arguments = getattr(kernel, "py_func", kernel).__code__.co_argcount
            assert len(call.split()) == arguments or name not in _kernel_types.TYPES, name


@jit_only
@pytest.mark.slow
def test_after_a_warm_up_nothing_that_users_do_is_compiled(monkeypatch):
    hooks = list(fastbcd_kernels.before_compiling)
    done = fastbcd.warmup()
    assert done.missed == ()
    assert done.n_kernels == len(_kernel_types.kernels())
    assert fastbcd_kernels.before_compiling == hooks
    assert "kernels ready" in str(done)
    compiled = compiling(monkeypatch)
    warnings.simplefilter("ignore")
    for dtype in _warmup.DTYPES:
        for name, run in recipes(np.dtype(dtype)):
            run()
            assert compiled == [], name
    again = fastbcd.warmup("float64")
    assert again.n_compiled == 0
    assert "nothing had to be compiled" in str(again)


def recipes(dtype):
    """Yield what users do, with a name: together it calls every kernel for data of ``dtype``."""
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
        images = partial(_fit, x=pixels, hidden=convolutions, input_shape=(4, 4))
        yield f"{solver}, images", partial(images, BCDClassifier, three, solver=solver)
        yield f"{solver}, regression", partial(fit, BCDRegressor, x[:, 0], solver=solver)
        yield f"{solver}, outputs", partial(fit, BCDRegressor, x[:, :2], solver=solver)
    yield "images that move", partial(images, BCDClassifier, three, random_shift=1)
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


def _fit(kind, y, x, weight=None, hidden=(8, 8), **options):
    """Fit and predict. 15 epochs are enough for mini-batches to fix the form of their copies."""
    max_iter = 15 if options.get("solver") == "minibatch" else 3
    model = kind(hidden, max_iter=max_iter, random_state=0, **options)
    model.fit(x, y, weight).predict(x)
    _predict_one(model, x)


def _compress(model, x, y, **budget):
    small = model.compress(x, y, epochs=2, **budget)
    small.predict(x)
    _predict_one(small, x)


def _predict_one(model, x):
    """Predict one row: it has kernels of its own, some of them for rows of many zeros."""
    model.predict(x[:1])
    model.predict(0 * x[:1])


# Who compiles


def fake_job(monkeypatch, modules, n_jobs):
    """Return a job whose compiler only tells that it was called."""
    compiled = []

    def compile_module(module, dtypes):
        compiled.append((module, dtypes))
        for hook in fastbcd_kernels.before_compiling:
            hook(f"{module}.kernel")

    monkeypatch.setattr(_warmup, "compile_module", compile_module)
    return _warmup.Job(list(modules), ["float32"], n_jobs), compiled


@pytest.mark.parametrize("executable", ["/no/such/python", "", None, "/bin/false", "/bin/cat"])
def test_where_no_helper_starts_or_answers_this_process_does_all_the_work(monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    job, compiled = fake_job(monkeypatch, "abcdef", 3)
    job.run(lambda *_: None)
    assert sorted(module for module, _ in compiled) == list("abcdef")
    assert job.n_processes == 1


def test_no_helper_is_started_where_nothing_has_to_be_compiled(monkeypatch):
    job = _warmup.Job(["a", "b"], ["float32"], 2)
    monkeypatch.setattr(_warmup, "compile_module", lambda *_: None)
    monkeypatch.setattr(subprocess, "Popen", None)
    job.run(lambda *_: None)
    assert job.compiled == []


def test_an_interrupt_ends_the_helpers_and_puts_the_hooks_back(monkeypatch):
    hooks = list(fastbcd_kernels.before_compiling)
    job, _ = fake_job(monkeypatch, "abc", 1)

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(_warmup, "compile_module", interrupt)
    with pytest.raises(KeyboardInterrupt):
        job.run(lambda *_: None)
    assert fastbcd_kernels.before_compiling == hooks


def run_stdin(code, **environment):
    """Run ``code`` as a script on the standard input: no file, no guard."""
    full = {**os.environ, **environment}
    if "NUMBA_DISABLE_JIT" not in environment:
        full.pop("NUMBA_DISABLE_JIT", None)
    return subprocess.run(
        [sys.executable, "-W", "error", "-"],
        input=code,
        env=full,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    ).stdout.split()


@pytest.mark.slow
def test_two_processes_fill_a_temporary_cache_from_a_script_without_a_file(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file is no folder")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = """
import fastbcd, fastbcd_kernels
done = fastbcd.warmup("float32", n_jobs=2)
print(done.n_processes, done.n_compiled, fastbcd_kernels.CACHE_FOLDER)
print(sum(path.suffix == ".nbc" for path in fastbcd_kernels.CACHE_FOLDER.rglob("*")))
print(fastbcd.warmup("float32", n_jobs=2).n_compiled)
"""
    out = run_stdin(code, NUMBA_CACHE_DIR=str(blocked / "cache"), TMPDIR=str(scratch))
    n_processes, n_compiled, folder, n_files, n_again = out
    assert int(n_processes) == 2
    assert Path(folder).parent == scratch
    assert int(n_compiled) >= int(n_files) >= len(_kernel_types.TYPES)
    assert int(n_again) == 0


def test_nothing_is_compiled_where_the_compiler_is_switched_off():
    code = "import fastbcd; done = fastbcd.warmup(n_jobs=2); print(done.n_compiled)"
    assert run_stdin(code, NUMBA_DISABLE_JIT="1") == ["0"]


# What it is called with, and what it shows


def test_the_warm_up_refuses_other_types_and_numbers():
    with pytest.raises(ValueError, match='"float32", "float64" or both'):
        fastbcd.warmup("float16")
    for n_jobs in (0, -2, 1.5):
        with pytest.raises(ValueError, match=f"n_jobs={n_jobs}"):
            fastbcd.warmup(n_jobs=n_jobs)


def test_the_command_warms_up(monkeypatch, capsys):
    def warmup(dtypes, *, n_jobs, verbose):
        return f"{dtypes} {n_jobs} {verbose}"

    monkeypatch.setattr(_warmup, "warmup", warmup)
    assert main(["warmup", "--dtype", "float32", "--jobs", "1", "--quiet"]) == 0
    assert main(["warmup"]) == 0
    assert capsys.readouterr().out == "float32 1 False\n('float32', 'float64') -1 True\n"


# Compiling beside other work


@jit_only
@pytest.mark.slow  # a new process compiles a module
def test_a_helper_compiles_while_this_process_works(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_warmup, "usable_cores", lambda: 2)
    compiled = compiling(monkeypatch)
    with _warmup.compiling_meanwhile(["residual"], ["float32"]):
        until = time.monotonic() + 120
        while not list(tmp_path.rglob("residual.column_sums*.nbc")) and time.monotonic() < until:
            time.sleep(0.1)
    assert list(tmp_path.rglob("residual.column_sums*.nbc"))
    assert compiled == []


def test_without_a_second_core_or_an_executable_nothing_is_started(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no executable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    for cores in (1, 2):
        monkeypatch.setattr(_warmup, "usable_cores", lambda cores=cores: cores)
        with _warmup.compiling_meanwhile(["residual"], ["float32"]):
            done = True
        assert done
