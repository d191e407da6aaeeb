"""What the project says about itself is said once, and agrees with itself."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest

import fastbcd

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^A-Za-z0-9_.-]", requirement)[0].lower() for requirement in requirements}


def test_version_is_stated_once(pyproject: dict[str, Any]) -> None:
    assert "version" in pyproject["project"]["dynamic"]
    assert pyproject["tool"]["hatch"]["version"]["path"] == "fastbcd/_version.py"
    assert version("fastbcd") == fastbcd.__version__
    statement = re.compile(r"^\s*__version__\s*(:[^=]+)?=", re.MULTILINE)
    stated = [
        path.relative_to(ROOT).as_posix()
        for folder in ("fastbcd", "kernels", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if "_build" not in path.parts and statement.search(path.read_text())
    ]
    assert stated == ["fastbcd/_version.py"]


def test_changelog_has_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    heading = rf"^## \[?v?{re.escape(fastbcd.__version__)}\]?(\s|$)"
    assert re.search(heading, changelog, re.MULTILINE), (
        f"CHANGELOG.md has no heading '## {fastbcd.__version__}'."
    )


def test_readme_holds_the_test_command() -> None:
    readme = (ROOT / "README.md").read_text()
    for marker in ("<!-- tests:begin -->", "<!-- tests:end -->"):
        assert readme.count(marker) == 1, f"README.md must hold {marker} once; .ci/run reads it."
    between = readme.split("<!-- tests:begin -->")[1].split("<!-- tests:end -->")[0]
    block = re.fullmatch(r"\s*```(?:bash|sh|shell|console)\n(.+?)\n```\s*", between, re.DOTALL)
    assert block is not None, "Between the markers stands one fenced bash block, nothing else."
    assert "pytest" in block[1]


def test_run_time_dependencies_are_these_four(pyproject: dict[str, Any]) -> None:
    four = {"numpy", "scipy", "numba", "scikit-learn"}
    assert names(pyproject["project"]["dependencies"]) == four
    installed = [r for r in requires("fastbcd") or [] if "extra ==" not in r]
    assert names(installed) == four


def test_every_dependency_has_a_lower_bound(pyproject: dict[str, Any]) -> None:
    for requirement in pyproject["project"]["dependencies"]:
        assert re.fullmatch(r"[a-z-]+>=[0-9.]+", requirement), requirement


def test_pre_commit_uses_the_linter_of_the_lint_group(pyproject: dict[str, Any]) -> None:
    (pin,) = (r for r in pyproject["dependency-groups"]["lint"] if r.startswith("ruff"))
    series = pin.removeprefix("ruff==").removesuffix(".*")
    config = (ROOT / ".pre-commit-config.yaml").read_text()
    (used,) = re.findall(r"ruff-pre-commit\s+rev: v([0-9.]+)", config)
    assert used.startswith(f"{series}."), f"pre-commit runs ruff {used}, pyproject.toml {pin}."


def test_ci_script_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text


def test_contributing_says_where_every_session_of_nox_runs() -> None:
    source = ast.parse((ROOT / "noxfile.py").read_text())
    sessions = {
        node.name
        for node in source.body
        if isinstance(node, ast.FunctionDef)
        and any("nox.session" in ast.unparse(mark) for mark in node.decorator_list)
    }
    weekly = (ROOT / ".github" / "workflows" / "checks.yml").read_text()
    listed = re.search(r"session: \[(.+)\]", weekly)
    assert listed is not None
    every_week = set(listed[1].split(", "))
    every_change = {"lint", "typing", "docs", "bench"}  # the commands of .ci/run
    assert every_week | every_change == sessions
    rows = [line for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines() if "|" in line]
    for names_, when in ((every_week, "Monday"), (every_change, "every change")):
        for name in names_:
            assert any(f"`{name}`" in row and when in row for row in rows), name


def test_the_last_step_of_the_ci_script_runs_all_tests_that_have_not_passed() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if " pytest " in line]
    assert commands[-1] == 'python -m pytest -n auto -m "" --skip-passed="$PASSED"'
    # Nothing but the first step of the same run writes that file.
    recorded = [line for line in lines if "record-passed" in line]
    assert recorded == [
        'PYTEST_ADDOPTS="--record-passed=\'$PASSED\'" bash -euo pipefail -c "$command"'
    ]


def test_a_second_run_is_of_the_tests_that_did_not_pass(tmp_path):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_some.py").write_text(SOME_TESTS, encoding="utf-8")
    passed = tmp_path / "passed"

    def outcomes(*options):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        environment = {key: value for key, value in os.environ.items() if "PYTEST" not in key}
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        return re.findall(r"\d+ (?:passed|failed|skipped)", done.stdout.splitlines()[-1])

    first = outcomes("-m", "not slow", "-n2", f"--record-passed={passed}")
    assert first == ["1 failed", "3 passed", "1 skipped"]
    names = sorted(passed.read_text(encoding="utf-8").split("\n"))
    assert names == [f"test_some.py::test_{name}" for name in ("good", "many[1 2]", "many[a::b]")]
    assert outcomes(f"--skip-passed={passed}") == ["1 failed", "1 passed", "1 skipped"]


SOME_TESTS = """
import pytest

def test_good(): pass
def test_bad(): assert False
def test_unable(): pytest.skip("no such library")
@pytest.mark.parametrize("word", ["1 2", "a::b"])
def test_many(word): pass
@pytest.mark.slow
def test_slow(): pass
"""


def test_authors_are_stated_once(pyproject: dict[str, Any]) -> None:
    authors = [author["name"] for author in pyproject["project"]["authors"]]
    head = (ROOT / "CITATION.cff").read_text(encoding="utf-8").partition("references:")[0]
    assert re.findall(r"^  - name: (.*)$", head, re.MULTILINE) == authors
    assert authors[0] not in (ROOT / "docs" / "conf.py").read_text(encoding="utf-8")
