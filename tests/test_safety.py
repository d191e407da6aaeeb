"""Threads, processes, read-only installations, and no compiler: the same answers everywhere."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris

import fastbcd
import fastbcd_kernels
from fastbcd import BCDClassifier
from fastbcd.schemes import Prune, TensorTrain

X, Y = load_iris(return_X_y=True)
CASES = [
    (solver, scheme, dtype)
    for solver in ("full", "minibatch")
    for scheme in (None, Prune(sparsity=0.5), TensorTrain(rank=2))
    for dtype in (np.float32, np.float64)
]


def fit_and_predict(solver, scheme, dtype):
    """Return the outputs of a small fit; top level, so that other processes find it."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        clf = BCDClassifier((8, 6), solver=solver, scheme=scheme, max_iter=8, random_state=0)
        return clf.fit(X.astype(dtype), Y).predict_proba(X.astype(dtype))


@pytest.fixture(scope="module")
def expected():
    return [fit_and_predict(*case) for case in CASES]


# Warning filters are global to a process, and whichever thread ends first restores these.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_fits_in_several_threads_do_not_disturb_each_other(expected):
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda case: fit_and_predict(*case), CASES * 3))
    for one, right in zip(found, expected * 3, strict=True):
        np.testing.assert_array_equal(one, right)


def test_one_estimator_predicts_in_several_threads():
    clf = BCDClassifier((8, 6), scheme=Prune(sparsity=0.5), tol=1e-3, random_state=0).fit(X, Y)
    right = clf.predict_proba(X)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: clf.predict_proba(X), range(60)))
    assert all(np.array_equal(one, right) for one in found)


def test_fits_in_worker_processes_of_joblib(expected):
    found = joblib.Parallel(n_jobs=2, backend="loky")(
        joblib.delayed(fit_and_predict)(*case) for case in CASES[::4]
    )
    for one, right in zip(found, expected[::4], strict=True):
        np.testing.assert_allclose(one, right, rtol=1e-5, atol=1e-6)


def _send(connection, case):
    connection.send(fit_and_predict(*case))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("case", CASES[::4], ids=str)
def test_a_fit_after_a_fork_of_a_process_that_has_fitted(case, expected):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=_send, args=(theirs, case))
    child.start()
    assert ours.poll(60), "the child does not answer"
    np.testing.assert_allclose(ours.recv(), expected[CASES.index(case)], rtol=1e-5, atol=1e-6)
    child.join(30)
    assert child.exitcode == 0


REPORT = """
import json, sys, warnings
warnings.simplefilter("ignore")
import fastbcd, fastbcd_kernels
from fastbcd import BCDClassifier
from fastbcd.schemes import Prune
from sklearn.datasets import load_iris
X, y = load_iris(return_X_y=True)
clf = BCDClassifier((6,), scheme=Prune(sparsity=0.5), max_iter=5, random_state=0).fit(X, y)
print(json.dumps({
    "home": fastbcd.__file__,
    "cache": str(fastbcd_kernels.CACHE_FOLDER),
    "outputs": clf.predict_proba(X).tolist(),
}))
"""


def run_report(cwd=None, **environment):
    done = subprocess.run(
        [sys.executable, "-c", REPORT],
        cwd=cwd,  # not the checkout, which would come first on the path
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_without_the_compiler_the_answers_are_the_same():
    compiled = np.array(run_report()["outputs"])
    plain = np.array(run_report(NUMBA_DISABLE_JIT="1")["outputs"])
    np.testing.assert_allclose(plain, compiled, rtol=1e-8, atol=1e-10)


@pytest.mark.slow  # all kernels of a fit are compiled in a new process
def test_a_read_only_installation_without_a_home_runs(tmp_path):
    site = tmp_path / "site"
    for package in (fastbcd, fastbcd_kernels):
        home = Path(package.__file__).parent
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(home, site / home.name, ignore=ignore)
    # The superuser may write anywhere: a file in the place of the folder stops even them.
    (site / "fastbcd_kernels" / "__pycache__").write_text("")
    no_home = tmp_path / "no-home"
    no_home.write_text("a file, so nothing can be put below it")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for folder in (site, *site.rglob("*")):
        folder.chmod(folder.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
    found = run_report(
        cwd=scratch,
        PYTHONPATH=str(site),
        PYTHONDONTWRITEBYTECODE="1",
        HOME=str(no_home),
        XDG_CACHE_HOME=str(no_home),
        NUMBA_CACHE_DIR="",
        TMPDIR=str(scratch),
    )
    assert Path(found["home"]).is_relative_to(site)
    assert Path(found["cache"]).parent == scratch
