"""Tests go by public names: what need not be public need not be tested by itself."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_repr_html_"}
"""Names of named tuples and notebooks that only look private."""
PATCHING = {"setattr", "getattr", "hasattr", "delattr"}

ALLOWED = {
    # What other libraries have no public name for.
    "test_architecture.py": 1,  # the cache of Numba's dispatchers
    "test_callbacks.py": 1,  # what scikit-learn leaves on estimators with callbacks
    "test_cli.py": 6,  # the options of an argparse parser
    "test_torch_reading.py": 3,  # hooks, and modules that PyTorch would refuse
    # The state of a stream, which the tests spoil.
    "test_minibatch_bad_input.py": 3,
}
"""Private names in each file of tests. These numbers only shrink."""


def is_private(name):
    hidden = name.startswith("_") and not name.startswith("__") and name.strip("_")
    return bool(hidden) and name not in PUBLIC


def private_names(source):
    """Return the private names of others that a module imports, reads or patches."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else ""
            names = [] if owner in ("self", "cls") else [node.attr]
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
            texts = [text for text in texts if isinstance(text, str)]
            names = [text.split(".")[-1] for text in texts] if called in PATCHING else []
        found += filter(is_private, names)
    return found


def test_tests_use_no_more_private_names_than_are_allowed():
    counts = Counter(
        {
            path.name: len(private_names(path.read_text(encoding="utf-8")))
            for path in TESTS.glob("*.py")
        }
    )
    assert dict(+counts) == ALLOWED, "make the name public, or lower the number in ALLOWED"


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from fastbcd._a import b", ["_a"]),
        ("from fastbcd.a import _b as c", ["_b"]),
        ("import fastbcd._a", ["_a"]),
        ("a.b._c.d", ["_c"]),
        ("monkeypatch.setattr(a, '_b', 1)", ["_b"]),
        ("monkeypatch.setattr('a.b._c', 1)", ["_c"]),
        ("self._a, cls._b, a.__len__, a._replace(b=1), [0 for _ in a]", []),
        ("from a import b as _b", []),
    ],
)
def test_private_names_are_found(source, names):
    assert private_names(source) == names
