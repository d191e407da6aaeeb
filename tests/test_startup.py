"""Start-up: the notice comes once, nothing is compiled twice, info says what is there."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbcd
import fastbcd_kernels
from fastbcd.cli import main

ROOT = Path(__file__).resolve().parents[1]
SMALLEST = "from fastbcd_kernels.residual import weighted_squared_distance as f\n"
CALL = "import numpy as np; f(np.ones((2, 3)), np.zeros((2, 3)), np.ones(2))\n"


def run_python(code: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    full = {**os.environ, "NUMBA_CACHE_DIR": str(cache), **environment}
    full.pop("NUMBA_DISABLE_JIT", None)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=full,
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


# The notice


def test_the_notice_is_one_line_and_comes_only_when_something_is_compiled(tmp_path):
    code = SMALLEST + CALL + CALL.replace("np.ones((2, 3))", "np.ones((2, 3), np.float32)")
    first = run_python(code, tmp_path, FASTBCD_NOTICE="1").stderr
    assert first.count("\n") == 1
    assert first.startswith("fastbcd: compiling kernels")
    assert "fastbcd warmup" in first
    assert run_python(code, tmp_path, FASTBCD_NOTICE="1").stderr == ""


@pytest.mark.parametrize("wish", ["", "0"])
def test_the_notice_is_not_written_to_logs_nor_when_it_is_not_wanted(tmp_path, wish):
    assert run_python(SMALLEST + CALL, tmp_path, FASTBCD_NOTICE=wish).stderr == ""


@pytest.mark.parametrize(
    ("wish", "terminal", "lines"), [("", True, 1), ("", False, 0), ("0", True, 0), ("1", False, 1)]
)
def test_who_reads_the_notice(monkeypatch, wish, terminal, lines):
    stream = io.StringIO()
    stream.isatty = lambda: terminal
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("FASTBCD_NOTICE", wish)
    monkeypatch.setattr("multiprocessing.parent_process", lambda: None)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    for _ in range(3):
        fastbcd_kernels.announce("some.kernel")
    assert stream.getvalue().count("\n") == lines
    assert stream.getvalue().startswith("\r") == terminal * lines  # it takes the place of a bar


# After a warm-up


AFTER = """
import numpy as np, warnings
import fastbcd_kernels
compiled = []
fastbcd_kernels.before_compiling[:] = [compiled.append]
warnings.simplefilter("ignore")
from sklearn.datasets import load_digits, load_diabetes
from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.schemes import LowRank, Prune, TensorTrain
X, y = load_digits(return_X_y=True)
few = BCDClassifier((20, 12), scheme=Prune(sparsity=0.7), max_iter=3, random_state=0)
few.fit(X[:300], y[:300]).predict(X)
many = BCDClassifier((20, 12), max_iter=3, random_state=0).fit(X, y)
many.compress(X, y, scheme={0: Prune(sparsity=0.8), 1: LowRank(rank=3)}, epochs=1)
many.compress(X, scheme=TensorTrain(rank=3), epochs=1).predict_proba(X)
X, y = load_diabetes(return_X_y=True)
BCDRegressor((16,), solver="minibatch", max_iter=3, random_state=0).fit(X, y).predict(X)
BCDRegressor((16,), scheme=LowRank(rank=2), max_iter=3, random_state=0).fit(X, y)
print(compiled)
"""


@pytest.mark.slow
def test_after_a_warm_up_ordinary_work_compiles_nothing(tmp_path):
    run_python("import fastbcd; fastbcd.warmup('float64')", tmp_path)
    assert run_python(AFTER, tmp_path).stdout.strip() == "[]"


# Info


def test_info_holds_what_a_report_of_a_bug_needs(capsys):
    facts = fastbcd.info()
    assert facts["versions"]["fastbcd"] == fastbcd.__version__
    assert facts["versions"]["numpy"] == np.__version__
    assert facts["cache"]["folder"] == str(fastbcd_kernels.CACHE_FOLDER)
    assert any(name.startswith("blas") for name in facts["threads"])
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == str(facts).strip()
    for group, some in facts.items():
        assert group in printed
        for name, value in some.items():
            assert f"{name}" in printed
            assert value in printed


def test_info_says_which_settings_matter(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert fastbcd.info()["settings"]["OMP_NUM_THREADS"] == "3"
