"""Benchmarks measure what users can call: they import public modules of fastbcd."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[1] / "bench"

PUBLIC = {
    "fastbcd",
    "fastbcd.datasets",
    "fastbcd.display",
    "fastbcd.exceptions",
    "fastbcd.export",
    "fastbcd.formats",
    "fastbcd.layers",
    "fastbcd.schemes",
    "fastbcd.storage",
}

ALLOWED = {
    # Kernels and single steps, measured by themselves.
    "test_kernels.py": {
        "fastbcd.linalg.spd",
        "fastbcd.schemes.nearest.thresholds",
        "fastbcd.schemes.nearest.trains",
        "fastbcd.solvers.batch.engine",
        "fastbcd.solvers.batch.settings",
        "fastbcd_kernels.activation_step",
    },
    "test_sweep.py": {
        "fastbcd.network.layers.activations",
        "fastbcd.network.layers.patches",
        "fastbcd.network.losses.losses",
        "fastbcd.objective.terms",
        "fastbcd.solvers",
        "fastbcd.solvers.starts",
    },
    # Tools of developers: their docstrings say so, and no page shows what a user would get.
    "formats/rule.py": {
        "fastbcd.formats.products.product",
        "fastbcd.formats.products.row_chain",
    },
    "minibatch/profile.py": {
        "fastbcd.linalg",
        "fastbcd.solvers.minibatch",
        "fastbcd_kernels",
    },
    "choose_batch.py": {"fastbcd.solvers.batch", "fastbcd.solvers.batch.settings"},
    "compress/choose_defaults.py": {
        "fastbcd.compression.lengths",
        "fastbcd.compression.settings",
        "fastbcd.io.importing",
        "fastbcd.solvers.refine",
    },
    "compress/choose_steps.py": {
        "fastbcd.compression",
        "fastbcd.compression.settings",
        "fastbcd.solvers.refine",
        "fastbcd.solvers.refine.settings",
    },
    # Dead neurons are removed from the networks of all methods before their bytes are counted.
    "compress/networks.py": {"fastbcd.network.network", "fastbcd.solvers.reconstruct"},
    # The size of the starting weights is no parameter; the page of the table says so.
    "paper/inits.py": {"fastbcd.solvers", "fastbcd.solvers.starts"},
}
"""Internal modules that each benchmark imports, with the reason. These sets only shrink."""

PATCHED = {"choose_batch.py", "compress/choose_steps.py", "paper/inits.py"}
"""Benchmarks that replace something inside the package by ``unittest.mock``. Only shrinks."""

FILES = sorted(path.relative_to(BENCH).as_posix() for path in BENCH.rglob("*.py"))


def imported(source):
    """Return the modules that a source imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and not node.level:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def internal(source):
    """Return the modules of fastbcd and of its kernels that are not public."""
    ours = {m for m in imported(source) if m.split(".")[0] in ("fastbcd", "fastbcd_kernels")}
    return ours - PUBLIC


def test_benchmarks_import_no_more_internal_modules_than_are_allowed():
    found = {name: internal((BENCH / name).read_text(encoding="utf-8")) for name in FILES}
    assert {name: modules for name, modules in found.items() if modules} == ALLOWED


def test_benchmarks_patch_no_more_than_is_allowed():
    found = {
        name
        for name in FILES
        if "unittest.mock" in imported((BENCH / name).read_text(encoding="utf-8"))
    }
    assert found == PATCHED


TOOLS = [name for name in ALLOWED if Path(name).stem in ("rule", "profile") or "choose" in name]


@pytest.mark.parametrize("name", TOOLS)
def test_tools_of_developers_say_so(name):
    assert "For developers:" in (ast.get_docstring(ast.parse((BENCH / name).read_text())) or "")


@pytest.mark.parametrize(
    ("source", "modules"),
    [
        ("from fastbcd import compress", set()),
        ("import numpy\nfrom fastbcd.schemes import Prune", set()),
        ("from fastbcd.schemes.nearest import trains", {"fastbcd.schemes.nearest"}),
        ("def f():\n    import fastbcd.solvers.loop", {"fastbcd.solvers.loop"}),
        ("from fastbcd_kernels import top_k", {"fastbcd_kernels"}),
    ],
)
def test_internal_modules_are_found(source, modules):
    assert internal(source) == modules
