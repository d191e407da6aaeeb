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

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed

import fastbcd
import fastbcd.exceptions
import fastbcd.export
from bench.compress import duration
from fastbcd.compression.settings import CompressionSettings
from fastbcd.solvers.refine import RefineSettings

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    page for page in DOCS.rglob("*.md") if not {"_build", "gallery", "generated"} & set(page.parts)
)
PUBLIC_MODULES = [fastbcd, fastbcd.schemes, fastbcd.formats, fastbcd.display, fastbcd.datasets]
PUBLIC_MODULES += [fastbcd.exceptions, fastbcd.export]
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
    if any("import torch" in part for part in code):
        pytest.importorskip("torch")
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
        documented = documented and value.__module__.startswith("fastbcd")
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
    """Return (owner, name) of every public function, class and method."""
    found = []
    for module in PUBLIC_MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            ours = getattr(value, "__module__", "").startswith("fastbcd")
            if not (inspect.isroutine(value) or inspect.isclass(value)) or not ours:
                continue
            found.append(pytest.param(module, name, id=f"{module.__name__}.{name}"))
            for key, member in vars(value).items() if inspect.isclass(value) else ():
                function = getattr(member, "__func__", member)
                if inspect.isfunction(function) and not key.startswith("_"):
                    found.append(pytest.param(value, key, id=f"{module.__name__}.{name}.{key}"))
    return found


def documented_parameters(text: str, expected: set[str]) -> set[str]:
    """Return the names in the section Parameters, or those that a short text speaks of."""
    section = re.search(
        r"^Parameters\n-{3,}\n(.*?)(?=^[A-Z]\w+\n-{3,}\n|\Z)", text, re.MULTILINE | re.DOTALL
    )
    if section is None:
        # A method of one or two arguments may name them in its sentence.
        return {n for n in expected if re.search(rf"\b{n}\b", text)} if len(expected) < 3 else set()
    heads = [line for line in section[1].splitlines() if line and not line.startswith(" ")]
    return {n.strip().lstrip("*") for head in heads for n in head.split(" : ")[0].split(",")}


@pytest.mark.parametrize(("owner", "name"), public_callables())
def test_every_public_parameter_is_documented(owner, name):
    value = getattr(owner, name)
    text = inspect.getdoc(value) or ""
    assert text
    if inspect.isclass(value) and (
        value.__init__ is object.__init__ or issubclass(value, BaseException)
    ):
        return  # nothing of ours to document
    expected = set(inspect.signature(value).parameters) - {"self", "cls"}
    documented = documented_parameters(text, expected)
    for base in inspect.getmro(owner)[1:] if inspect.isclass(owner) else ():
        # What a base class says of a method need not be said again.
        documented |= documented_parameters(inspect.getdoc(getattr(base, name, "")) or "", expected)
    missing = expected - documented
    assert not missing, f"{name} does not document {sorted(missing)}"


def test_files_of_the_package_that_pages_name_exist():
    pages = [*DOCS.rglob("*.md"), DOCS.parent / "CONTRIBUTING.md", DOCS.parent / "README.md"]
    named = {
        path: page.name
        for page in pages
        if "_build" not in page.parts
        for path in re.findall(r"\bfastbcd/[\w/]+\.py\b", page.read_text(encoding="utf-8"))
    }
    assert named
    assert {path: page for path, page in named.items() if not (DOCS.parent / path).exists()} == {}


@pytest.mark.slow  # three networks are compressed with all steps
def test_the_time_of_compress_follows_the_formula_of_the_guide():
    stated = (DOCS / "guide" / "schemes.md").read_text(encoding="utf-8")
    number = r"([\d.]+)\\ \\text"
    pattern = rf"{number}\{{ms\}}.*?{number}\{{ns\}}.*?{number}\{{ns\}}"
    constants = re.search(pattern, stated, re.DOTALL)
    assert constants
    used = (duration.PER_STEP * 1e3, duration.PER_UNIT * 1e9, duration.PER_WEIGHT * 1e9)
    assert tuple(map(float, constants.groups())) == pytest.approx(used)
    assert duration.formula(60_000, 1000, 0) == pytest.approx(3000 * (0.0005 + 200 * 20e-6))
    ratios = duration.main(["--quick"])
    assert all(1 / 2 < ratio < 2 for ratio in ratios), ratios


def test_the_length_of_a_refinement_is_that_of_the_settings():
    text = " ".join((DOCS / "guide" / "schemes.md").read_text(encoding="utf-8").split())
    stated = re.search(
        r"(\d+) steps of (\d+) rows, but at most (\d+) passes over the rows "
        r"\((\d+) for low rank and tensor trains\)\. Half as many again .* at most (\d) bits\.",
        text,
    )
    assert stated
    used = CompressionSettings()
    levels = 2 ** int(stated[5])
    assert [int(number) for number in stated.groups()[:4]] + [levels, 1.5] == [
        used.steps,
        RefineSettings.batch_size,
        used.max_epochs,
        used.max_factored,
        used.few_levels,
        used.longer,
    ]
