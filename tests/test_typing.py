"""What type checkers make of the package as users install it."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from shutil import copytree, ignore_patterns
from venv import EnvBuilder

import pytest

import fastbcd
import fastbcd_kernels

USE = Path(__file__).with_name("typed_use.py")

BY_SCIKIT_LEARN = {"fastbcd.BCDClassifier", "fastbcd.BCDRegressor"}
"""Their base classes come from scikit-learn, which ships no types."""

pytestmark = pytest.mark.slow


def needs(module: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        find_spec(module) is None, reason=f"{module} is not installed: pip install --group typing"
    )


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of a user, with an environment that holds the package and what it needs."""
    folder = tmp_path_factory.mktemp("user")
    EnvBuilder(symlinks=sys.platform != "win32").create(folder / "env")
    (site,) = (folder / "env").rglob("site-packages")
    for package in (fastbcd, fastbcd_kernels):
        source = Path(package.__file__).parent
        copytree(source, site / source.name, ignore=ignore_patterns("__pycache__"))
    # After the copies: in a development install this leads to the checkout, too.
    (site / "all.pth").write_text(sysconfig.get_path("purelib"))
    (folder / USE.name).write_text(USE.read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def python(user: Path) -> str:
    scripts = "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    return str(user / "env" / scripts)


def run(user: Path, module: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", module, *options]
    return subprocess.run(command, cwd=user, capture_output=True, text=True, timeout=500)


@needs("mypy")
def test_a_users_code_is_clean_for_mypy(user: Path) -> None:
    config = ("--strict", "--config-file=", "--cache-dir", str(user / "cache"))
    done = run(user, "mypy", *config, "--python-executable", python(user), USE.name)
    assert done.returncode == 0, done.stdout + done.stderr


INSIDE = tuple(
    f"fastbcd.{name}."
    for name in (
        "cli",
        "compression.allocation",
        "compression.coarse_start",
        "compression.coarse_to_fine",
        "compression.dense_first",
        "compression.job",
        "compression.removal",
        "compression.run",
        "compression.search",
        "formats.products",
        "io",
        "linalg",
        "network",
        "objective",
        "parallel",
        "schemes.nearest",
        "solvers",
        "statistics",
        "utils",
    )
)
"""Modules that users do not import; mypy checks them strictly with the rest."""


@needs("basedpyright")
def test_a_users_code_is_clean_for_basedpyright(user: Path) -> None:
    done = run(user, "basedpyright", "--level", "error", "--pythonpath", python(user), USE.name)
    assert done.returncode == 0, done.stdout + done.stderr


@needs("basedpyright")
@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ("BCDClassifier().prdict([[1.0]])", "reportAttributeAccessIssue"),
        ("BCDClassifier(width=3)", "reportCallIssue"),
        ("BCDClassifier(scheme=4)", "reportArgumentType"),
    ],
)
def test_a_users_slip_is_found(user: Path, wrong: str, rule: str) -> None:
    slip = user / "slip.py"
    slip.write_text(f"from fastbcd import BCDClassifier\n\n_ = {wrong}\n")
    done = run(user, "basedpyright", "--level", "error", "--pythonpath", python(user), slip.name)
    assert rule in done.stdout


@needs("basedpyright")
def test_the_types_of_all_public_symbols_are_known(user: Path) -> None:
    options = ("--verifytypes", "fastbcd", "--ignoreexternal", "--outputjson")
    done = run(user, "basedpyright", *options, "--pythonpath", python(user))
    found = json.loads(done.stdout)["typeCompleteness"]
    unknown = {
        symbol["name"]: [said["message"] for said in symbol["diagnostics"]]
        for symbol in found["symbols"]
        if symbol["isExported"] and (not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"])
    }
    # What takes or returns an estimator is as unknown as its base class.
    own = {
        name: said
        for name, said in unknown.items()
        if said
        and not name.startswith(INSIDE)
        and not any("BCD" in text or "base class" in text or "Source" in text for text in said)
    }
    assert own == {}
    assert unknown.keys() >= BY_SCIKIT_LEARN, "scikit-learn has types now: expect all to be known"
    shown = [
        symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]
        for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["name"].startswith(INSIDE)
    ]
    assert sum(shown) / len(shown) > 0.97  # the others hang on scikit-learn's base classes
