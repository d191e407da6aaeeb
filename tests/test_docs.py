"""What the documentation shows runs: snippets, doctests; and it names every public thing."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import sys
import warnings
from pathlib import Path
from pkgutil import walk_packages

import pytest

import fastbcd

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    page for page in DOCS.rglob("*.md") if not {"_build", "gallery", "generated"} & set(page.parts)
)
PUBLIC_MODULES = [fastbcd, fastbcd.schemes, fastbcd.formats, fastbcd.display, fastbcd.datasets]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets(page: Path) -> list[str]:
    return [
        code for kind, code in FENCE.findall(page.read_text(encoding="utf-8")) if kind == "python"
    ]


WITH_CODE = [page for page in [ROOT / "README.md", *PAGES] if snippets(page)]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_snippets_of_a_page_run_one_after_another(page, tmp_path, monkeypatch):
    code = snippets(page)
    if any("Display" in part for part in code):
        pytest.importorskip("matplotlib").use("Agg")
    if any("to_frame" in part for part in code):
        pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, part in enumerate(code, 1):
            exec(compile(part, f"{page.name}, snippet {number}", "exec"), names)
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


def modules() -> list[str]:
    return [
        module.name
        for package in ("fastbcd", "fastbcd_kernels")
        for module in walk_packages(importlib.import_module(package).__path__, f"{package}.")
        if not module.name.endswith("__main__")
    ]


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_the_docstrings_hold(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed, _ = doctest.testmod(
            importlib.import_module(name),
            optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
        )
    assert failed == 0


# Names


def reference_names() -> set[str]:
    """Return the full names that the API reference lists."""
    names, module = set(), ""
    for line in (DOCS / "api.rst").read_text(encoding="utf-8").splitlines():
        if line.startswith(".. currentmodule::"):
            module = line.split("::")[1].strip()
        elif re.fullmatch(r"   [A-Za-z_][\w.]*", line):
            names.add(f"{module}.{line.strip()}")
    return names


@pytest.mark.parametrize("module", PUBLIC_MODULES, ids=lambda module: module.__name__)
def test_the_reference_lists_every_public_name(module):
    listed = reference_names()
    missing = []
    for name in module.__all__:
        value = getattr(module, name)
        documented = inspect.isclass(value) or inspect.isroutine(value)
        if documented and f"{module.__name__}.{name}" not in listed:
            missing.append(name)
    assert not missing, f"docs/api.rst does not list {missing} of {module.__name__}"


def test_what_the_reference_lists_exists():
    for full in reference_names():
        module, parts = "fastbcd", full.split(".")[1:]
        value = importlib.import_module(module)
        for part in parts:
            if not hasattr(value, part):
                value = importlib.import_module(f"{value.__name__}.{part}")
            else:
                value = getattr(value, part)
        assert value is not None


@pytest.mark.parametrize("module", PUBLIC_MODULES, ids=lambda module: module.__name__)
def test_every_public_name_is_exported_once(module):
    assert len(set(module.__all__)) == len(module.__all__)
    public = {name for name in module.__all__ if not name.startswith("_")}
    assert public <= set(dir(module))


def public_callables() -> list[object]:
    found = []
    for module in PUBLIC_MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isroutine(value):
                found.append(pytest.param(value, id=f"{module.__name__}.{name}"))
            elif inspect.isclass(value) and value.__module__.startswith("fastbcd"):
                found.append(pytest.param(value, id=f"{module.__name__}.{name}"))
                for key, member in vars(value).items():
                    function = getattr(member, "__func__", member)
                    if inspect.isfunction(function) and not key.startswith("_"):
                        found.append(pytest.param(function, id=f"{module.__name__}.{name}.{key}"))
    return found


def documented_parameters(text: str) -> set[str]:
    """Return the names in the numpydoc section Parameters."""
    section = re.search(
        r"^\s*Parameters\n\s*-{3,}\n(.*?)(?=^\s*\w+\n\s*-{3,}\n|\Z)", text, re.M | re.S
    )
    if section is None:
        return set()
    lines = section[1].splitlines()
    indent = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    heads = [line.strip() for line in lines if line.strip() and line[indent] != " "]
    return {n.strip().lstrip("*") for head in heads for n in head.split(" : ")[0].split(",")}


@pytest.mark.parametrize("value", public_callables())
def test_every_public_parameter_is_documented(value):
    text = inspect.getdoc(value) or ""
    assert text
    if inspect.isclass(value) and value.__init__ is object.__init__:
        return
    try:
        parameters = inspect.signature(value).parameters
    except ValueError:
        return
    expected = {name for name in parameters if name not in ("self", "cls")}
    found = documented_parameters(text)
    if not found and inspect.isfunction(value) and value.__qualname__.count("."):
        # A method whose summary names what it takes needs no section: matmul(v), scaled(factor).
        short = len(expected) <= 2
        if short and all(re.search(rf"\b{name}\b", text) for name in expected):
            return
        owner = value.__qualname__.split(".")[0]
        if (
            short
            and owner not in ("BCDClassifier", "BCDRegressor")
            and expected <= {"weight", "warm", "shape", "state", "params", "deep", "v", "factor"}
        ):
            return  # the base class says it, for all
    missing = expected - found
    assert not missing, f"{value.__qualname__} does not document {sorted(missing)}"
