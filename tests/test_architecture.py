"""The rules that keep the parts apart and the compiled code fresh, checked on the source."""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastbcd
import fastbcd.formats
import fastbcd.schemes
import fastbcd_kernels

PACKAGE = Path(fastbcd.__file__).parent
KERNELS = Path(fastbcd_kernels.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
KERNEL_MODULES = sorted(path for path in KERNELS.rglob("*.py") if path.name != "__init__.py")
ALL_MODULES = [*MODULES, *sorted(KERNELS.rglob("*.py"))]
MAX_LINES = 500

DEPENDENCIES = {"numpy", "scipy", "sklearn"}
OUR_OWN = {"fastbcd", "fastbcd_kernels"}
UNSAFE_FASTMATH = {"nnan", "ninf", "fast"}  # they hide NaN and inf

each_kernel_module = pytest.mark.parametrize("path", KERNEL_MODULES, ids=lambda path: path.stem)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(tree: ast.AST) -> set[str]:
    """Return the full names of all modules imported anywhere; relative ones start with a dot."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
    return found


def roots(names: set[str]) -> set[str]:
    return {name.split(".")[0] if name[0] != "." else name for name in names}


def on_import(tree: ast.Module) -> set[str]:
    """Return what is imported as soon as the module is: not in functions or for type checkers."""
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= imports(node)
    return found


def run_python(code: str, **environment: str) -> str:
    """Run ``code`` in a new interpreter; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Who may import whom


@each_kernel_module
def test_a_kernel_module_imports_numba_numpy_and_the_standard_library_alone(path):
    # A cached kernel that calls one of another file keeps running old code after an upgrade.
    foreign = roots(imports(parse(path))) - {"numba", "numpy"} - set(sys.stdlib_module_names)
    assert not foreign


def test_the_kernel_package_imports_none_of_its_kernels():
    assert roots(imports(parse(KERNELS / "__init__.py"))) <= {"numba", *sys.stdlib_module_names}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_in_the_package_imports_numba(path):
    assert "numba" not in roots(imports(parse(path)))


@pytest.mark.parametrize("path", ALL_MODULES, ids=lambda path: path.name)
def test_nothing_imports_what_is_built_on_it(path):
    above = {"tests", "bench", "examples", "docs", "reference", "conftest", "pytest"}
    assert not roots(imports(parse(path))) & above


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_dependencies_are_imported_with_a_module(path):
    # What comes with an extra is imported where it is used.
    allowed = DEPENDENCIES | OUR_OWN | set(sys.stdlib_module_names)
    assert not roots(on_import(parse(path))) - allowed


FLOORS = (
    ("_version", "exceptions"),
    ("parallel",),
    ("utils",),
    ("linalg",),
    ("formats", "datasets"),
    ("network",),
    ("objective", "statistics", "io"),
    ("schemes", "inspection"),
    ("solvers",),
    ("compression",),
    ("estimators",),
    ("certificates", "export", "storage", "layers"),  # faces: public names of what lies below
    ("display", "cli"),
    ("__main__",),
)
"""The packages from the ground to the roof. A package imports only from lower floors; what stands
on one floor does not know its neighbours."""

FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

FLAT = {"__init__", "__main__", "_version", "certificates", "exceptions", "layers", "storage"}
"""The modules that are no packages: the version, the exceptions, and public faces."""

LATE = {
    "parallel/blas_threads.py": {"scipy.linalg", "threadpoolctl"},
    "utils/info.py": {
        "fastbcd_kernels",
        "llvmlite.binding",
        "pkgutil",
        "scipy.linalg",
        "threadpoolctl",
    },
    "utils/kernel_types.py": {"fastbcd_kernels"},
    "utils/warmup.py": {"fastbcd_kernels"},
}
"""Dependencies that load slowly, imported where they are first used so that ``import fastbcd``
stays quick. All other imports in functions are of extras. The list only shrinks."""

EXTRAS = {"joblib", "matplotlib", "onnx", "pandas", "polars", "skl2onnx", "torch"}


def modules_by_name() -> dict[str, Path]:
    """Return all modules of the package by their full names."""
    found = {}
    for path in MODULES:
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows() -> list[tuple[str, str]]:
    """Return who imports whom among the modules, anywhere in a file, and for type checkers too."""
    modules = modules_by_name()
    found = set()
    for name, path in modules.items():
        for node in ast.walk(parse(path)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                # A name may be a module, or stand in one.
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                names = [each if each in modules else node.module for each in full]
            found |= {(name, other) for other in names if other in modules and other != name}
    return sorted(found)


def circles(edges: list[tuple[str, str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan 1972)."""
    after: dict[str, list[str]] = {}
    for start, end in edges:
        after.setdefault(start, []).append(end)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in after.get(node, []):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                found.append(sorted(component))

    for node in after:
        if node not in index:
            visit(node)
    return found


def room(module: str) -> str:
    """Return the package, or the flat module, that a module belongs to; "" for the top."""
    return module.split(".")[1] if "." in module else ""


def test_circles_are_found():
    edges = [("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d"), ("e", "f")]
    assert sorted(circles(edges)) == [["a", "b", "c"], ["d", "e"]]
    assert circles([("a", "b"), ("a", "c"), ("b", "c")]) == []


def test_no_modules_import_each_other_in_a_circle():
    # The top module names everything for type checkers, and nothing below imports it.
    assert circles([edge for edge in arrows() if edge[0] != "fastbcd"]) == []


def test_a_package_imports_only_from_lower_floors():
    upward = [
        f"{start} -> {end}"
        for start, end in arrows()
        if room(start) and room(end) and room(start) != room(end)
        if FLOOR_OF[room(end)] >= FLOOR_OF[room(start)]
    ]
    assert upward == []


def test_every_module_has_a_floor_and_none_lies_flat():
    assert {room(name) for name in modules_by_name()} - {""} == set(FLOOR_OF)
    assert {path.stem for path in PACKAGE.glob("*.py")} == FLAT


def test_nobody_imports_a_private_name_of_another_package():
    private = []
    for name, path in modules_by_name().items():
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fastbcd."):
                names = [node.module, *(alias.name for alias in node.names)]
                hidden = [part for each in names for part in each.split(".") if part[0] == "_"]
                if room(node.module) != room(name) and set(hidden) - {"__version__", "_version"}:
                    private.append(f"{name}: {hidden}")
    assert private == []


def test_imports_in_functions_are_of_extras():
    late: dict[str, set[str]] = {}
    for path in MODULES:
        for function in ast.walk(parse(path)):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                names = {name for name in imports(function) if name.split(".")[0] not in EXTRAS}
                if names:
                    late.setdefault(path.relative_to(PACKAGE).as_posix(), set()).update(names)
    assert late == LATE


def test_only_parallel_starts_threads():
    starts = re.compile(r"(Thread|Process)PoolExecutor|threading\.Thread\(|multiprocessing")
    found = {
        path.relative_to(PACKAGE).parts[0]
        for path in MODULES
        if starts.search(path.read_text(encoding="utf-8"))
    }
    # The warm-up compiles in processes of its own before there is any work to share.
    assert found == {"parallel", "utils"}


LAPACK_ELSEWHERE = {
    "parallel/blas_threads.py": {"scipy.linalg"},  # loads SciPy's BLAS to find its threads
    "schemes/low_rank.py": {"scipy.linalg.solve_triangular", "np.linalg.svd"},
    "schemes/nearest/codebook_factors.py": {"np.linalg.solve"},
    "schemes/nearest/codebook_metric.py": {"np.linalg.lstsq"},
    "schemes/nearest/neurons.py": {"scipy.linalg.cho_solve"},
    "schemes/nearest/quantized_train.py": {"np.linalg.lstsq"},
    "schemes/nearest/train_fit.py": {"scipy.linalg.solve"},
    "schemes/nearest/train_sweep.py": {"scipy.linalg.qr", "scipy.linalg.svd"},
    "schemes/nearest/train_tangent.py": {"scipy.linalg.qr"},
    "solvers/batch/engine.py": {"np.linalg.inv", "np.linalg.solve"},
    "utils/info.py": {"scipy.linalg"},  # loads SciPy's BLAS to describe it
}
"""Modules outside linalg/ that call LAPACK or BLAS routines, and which. The list only shrinks."""

NO_LAPACK = {"norm", "block_diag", "LinAlgError"}
"""Names of numpy.linalg and scipy.linalg that call no routine."""


def lapack_calls(tree: ast.Module) -> set[str]:
    """Return the names of scipy.linalg and numpy.linalg that a module uses."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names if "linalg" in each.name}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            module = (node.module or "").replace("numpy", "np")
            names = {f"{module}.{each.name}" for each in node.names}
            found |= {name for name in names if re.match(r"(scipy|np)\.linalg\b", name)}
        elif isinstance(node, ast.Attribute):
            name = ast.unparse(node)
            if re.fullmatch(r"(np|numpy|scipy)\.linalg\.\w+", name):
                found.add(name.replace("numpy", "np"))
    return {name for name in found if name.split(".")[-1] not in NO_LAPACK}


def test_only_linalg_calls_lapack():
    found = {
        path.relative_to(PACKAGE).as_posix(): names
        for path in MODULES
        if (names := lapack_calls(parse(path))) and path.parent.name != "linalg"
    }
    assert found == LAPACK_ELSEWHERE


def test_one_module_calls_the_eigensolvers():
    # Some versions of SciPy need a special case, which linalg/eigen.py holds.
    solvers = re.compile(r"\.(eigh?|eigvalsh?|eig_banded|[sd]syev[dr]?)$")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in MODULES
        if any(solvers.search(name) for name in lapack_calls(parse(path)))
    }
    assert found == {"linalg/eigen.py"}


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("from scipy.linalg import eigh, norm", {"scipy.linalg.eigh"}),
        ("from scipy.linalg import blas", {"scipy.linalg.blas"}),
        ("from scipy.linalg.lapack import dpotrf", {"scipy.linalg.lapack.dpotrf"}),
        ("from numpy.linalg import svd", {"np.linalg.svd"}),
        ("from scipy import linalg", {"scipy.linalg"}),
        ("import scipy.linalg", {"scipy.linalg"}),
        ("x = np.linalg.norm(y) + np.linalg.inv(y)", {"np.linalg.inv"}),
        ("from fastbcd.linalg import eigen", set()),
        ("x = a @ b", set()),
    ],
)
def test_calls_of_lapack_are_found(source, names):
    assert lapack_calls(ast.parse(source)) == names


WITH_SETTINGS = (
    "compression",
    "solvers/batch",
    "solvers/full",
    "solvers/minibatch",
    "solvers/reconstruct",
    "solvers/refine",
)
"""The packages whose measured numbers stand in the one class of their ``settings.py``."""

NOT_MEASURED = {
    "compression/coarse_to_fine.py": {"BYTE"},  # 256: what one byte can address
    "compression/report.py": {"WIDTH"},  # characters of a line
    "compression/report_html.py": {"LEAST"},  # pixels
    "solvers/batch/fused.py": {"NOTHING"},  # an empty array
    "solvers/batch/units.py": {"LEAK"},  # of the leaky ReLU
    "solvers/minibatch/step.py": {"NOWHERE"},  # an empty array
    "solvers/refine/factored.py": {"LEAST"},  # epsilon of Adam's paper
}
"""Constants that are neither measured nor numbers of the machine. The list only shrinks."""


def constants(tree: ast.Module) -> dict[str, str]:
    """Return the module-level names of numbers, each with the text below it."""
    found = {}
    following = [*tree.body[1:], ast.Pass()]
    for node, after in zip(tree.body, following, strict=True):
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            values = [each for each in ast.walk(node.value) if isinstance(each, ast.Constant)]
            numbers = any(isinstance(each.value, int | float) for each in values)
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            names = [each.id for t in targets for each in ast.walk(t) if isinstance(each, ast.Name)]
            if numbers:
                words = " ".join(str(after.value.value).split()) if text else ""
                found |= {name: words for name in names if name.isupper()}
    return found


def test_measured_numbers_stand_in_the_settings_of_their_package():
    elsewhere: dict[str, set[str]] = {}
    for package in WITH_SETTINGS:
        for path in (PACKAGE / package).rglob("*.py"):
            for name, text in constants(parse(path)).items():
                if "number of the machine" not in text.lower():
                    key = path.relative_to(PACKAGE).as_posix()
                    elsewhere.setdefault(key, set()).add(name)
    assert elsewhere == NOT_MEASURED


@pytest.mark.parametrize("package", WITH_SETTINGS)
def test_every_setting_is_documented_and_cannot_be_changed(package):
    module = importlib.import_module(f"fastbcd.{package.replace('/', '.')}.settings")
    settings = type(module.DEFAULTS)
    assert settings.__dataclass_params__.frozen
    documented = set()
    for line in (inspect.getdoc(settings) or "").splitlines():
        if re.fullmatch(r"\w+(, \w+)* : .+", line):
            documented |= set(line.split(" : ")[0].split(", "))
    assert documented == set(settings.__dataclass_fields__)


def test_constants_are_found():
    source = 'A, B = 1, 2.0\n"""Two."""\nC: int = 1 << 3\nNAME = "x"\nd = 4'
    assert constants(ast.parse(source)) == {"A": "Two.", "B": "Two.", "C": ""}


def test_importing_the_package_loads_no_heavy_library():
    heavy = {"sklearn", "scipy", "numba", "fastbcd_kernels"}
    code = f"import fastbcd, sys; print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code) == "[]"


def test_the_lazy_names_are_loaded_on_first_use():
    code = "import fastbcd; print(fastbcd.BCDClassifier.__name__, fastbcd.schemes.Prune.__name__)"
    assert run_python(code) == "BCDClassifier Prune"


# How kernels are written


def kernel_policy(source: str) -> list[str]:
    """Return what in the source of a kernel module breaks the rules for kernels."""
    tree = ast.parse(source)
    sets = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    broken = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            broken.extend(f"{node.name}: {fault}" for fault in kernel_faults(node, sets))
        elif isinstance(node, ast.AsyncFunctionDef | ast.Lambda):
            broken.append(f"line {node.lineno}: only plain functions are compiled")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("njit", "jit", "numba.njit"):
            decorating = any(
                node in function.decorator_list
                for function in ast.walk(tree)
                if isinstance(function, ast.FunctionDef)
            )
            if not decorating:
                broken.append(f"line {node.lineno}: njit is called, not written above a function")
    return broken


def kernel_faults(function: ast.FunctionDef, sets: dict[str, ast.expr]) -> list[str]:
    """Return the faults of one function."""
    faults = []
    if len(function.decorator_list) != 1:
        faults.append("not decorated by njit alone")
    for decorator in function.decorator_list:
        if not isinstance(decorator, ast.Call) or ast.unparse(decorator.func) != "njit":
            faults.append(f"decorated by {ast.unparse(decorator)} instead of njit(...)")
            continue
        options = {keyword.arg: keyword.value for keyword in decorator.keywords}
        if decorator.args:
            faults.append("a signature moves compilation into the import")
        true = {name for name, value in options.items() if ast.unparse(value) == "True"}
        faults.extend(f"lacks {name}=True" for name in sorted({"cache", "nogil"} - true))
        if not options.keys() <= {"cache", "nogil", "fastmath", "inline", "boundscheck"}:
            faults.append(f"has options {sorted(map(str, options))}")
        if "fastmath" in options:
            faults += fastmath_faults(options["fastmath"], sets)
    for node in ast.walk(function):
        if isinstance(node, ast.Raise | ast.Assert):
            faults.append("raises")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "print":
            faults.append("prints")
        elif isinstance(node, ast.Attribute) and ast.unparse(node).startswith("np.random"):
            faults.append("draws random numbers")
        elif isinstance(node, ast.FunctionDef) and node is not function:
            faults.append("holds a closure")
    if not function.name.startswith("_") and not ast.get_docstring(function):
        faults.append("has no docstring")
    return faults


def fastmath_faults(value: ast.expr, sets: dict[str, ast.expr]) -> list[str]:
    """Return the faults of the flags, written as a set or as the name of one."""
    flags = sets.get(value.id) if isinstance(value, ast.Name) else value
    if not isinstance(flags, ast.Set):
        return [f"fastmath={ast.unparse(value)} is not a set of flags"]
    unsafe = {ast.literal_eval(flag) for flag in flags.elts} & UNSAFE_FASTMATH
    return [f"fastmath holds {sorted(unsafe)}"] if unsafe else []


@each_kernel_module
def test_every_kernel_keeps_the_policy(path):
    assert kernel_policy(path.read_text(encoding="utf-8")) == []


@each_kernel_module
def test_a_kernel_module_compiles_something_and_says_what_it_is(path):
    tree = parse(path)
    assert any(isinstance(node, ast.FunctionDef) for node in tree.body)
    assert ast.get_docstring(tree)


GOOD = '@njit(cache=True, nogil=True)\ndef kernel(x):\n    """Say what."""\n    return x\n'


def test_the_policy_accepts_a_plain_kernel():
    assert kernel_policy(GOOD) == []
    flags = GOOD.replace("nogil=True", 'nogil=True, fastmath={"contract", "nsz"}')
    assert kernel_policy(flags) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@njit(cache=True, nogil=True)", ""),
        ("@njit(cache=True, nogil=True)", "@njit"),
        ("@njit(cache=True, nogil=True)", "@kernel_decorator"),
        ("@njit(cache=True, nogil=True)", "@njit(**OPTIONS)"),
        ("cache=True, ", ""),
        ("cache=True", "cache=CACHE"),
        ("cache=True", "cache=False"),
        (", nogil=True", ""),
        ("nogil=True", "nogil=True, parallel=True"),
        ("nogil=True", "nogil=True, fastmath=True"),
        ("nogil=True", 'nogil=True, fastmath={"nnan"}'),
        ("nogil=True", 'nogil=True, fastmath={"reassoc", "ninf"}'),
        ("nogil=True", "nogil=True, fastmath=SOMEWHERE_ELSE"),
        ("cache=True", '"f8(f8)", cache=True'),
        ("return x", "raise ValueError"),
        ("return x", "assert x > 0"),
        ("return x", "print(x)"),
        ("return x", "return np.random.rand()"),
        ("return x", "f = lambda y: y\n    return f(x)"),
        ("return x", "def f(y):\n        return y\n    return f(x)"),
        ('    """Say what."""\n', ""),
        ("@njit", "FLAGS = {'fast'}\n@njit(cache=True, nogil=True, fastmath=FLAGS)\n@njit"),
        ("return x\n", "return x\nother = njit(cache=True)(kernel.py_func)\n"),
    ],
)
def test_the_policy_refuses(old, new):
    source = GOOD.replace(old, new)
    assert source != GOOD
    assert kernel_policy(source)


@each_kernel_module
def test_every_function_of_a_kernel_module_is_compiled_and_cached(path):
    module = importlib.import_module(f"fastbcd_kernels.{path.stem}")
    for node in parse(path).body:
        if isinstance(node, ast.FunctionDef):
            dispatcher = getattr(module, node.name)
            options = dispatcher.targetoptions
            assert options["nopython"]
            assert options["nogil"]
            assert type(dispatcher._cache).__name__ == "FunctionCache"


# Where no cache can be written


def test_kernels_run_where_no_cache_folder_can_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("a file is no folder")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code = """
import numpy as np
import fastbcd_kernels
from fastbcd_kernels.residual import weighted_squared_distance as distance
print(distance(np.ones((2, 3)), np.zeros((2, 3)), np.ones(2)))
print(fastbcd_kernels.CACHE_FOLDER)
print(sum(path.suffix == ".nbc" for path in fastbcd_kernels.CACHE_FOLDER.rglob("*")))
"""
    unwritable = str(blocked / "cache")
    out = run_python(code, NUMBA_CACHE_DIR=unwritable, TMPDIR=str(scratch)).split("\n")
    assert out[0] == "6.0"
    assert Path(out[1]).parent == scratch
    assert out[2] == "1"


def test_a_cache_folder_that_can_be_written_is_used(tmp_path):
    code = "import fastbcd_kernels; print(fastbcd_kernels.CACHE_FOLDER)"
    assert run_python(code, NUMBA_CACHE_DIR=str(tmp_path / "new")) == str(tmp_path / "new")


# Size and face


@pytest.mark.parametrize("path", ALL_MODULES, ids=lambda path: path.name)
def test_a_module_can_be_read_in_one_sitting(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < MAX_LINES


@pytest.mark.parametrize("path", ALL_MODULES, ids=lambda path: path.name)
def test_a_module_says_what_it_is_for(path):
    assert ast.get_docstring(parse(path))


@pytest.mark.parametrize("module", [fastbcd, fastbcd.schemes, fastbcd.formats])
def test_every_public_name_exists_and_is_documented(module):
    assert sorted(module.__all__) == sorted(set(module.__all__))
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert "__doc__" in vars(value) or inspect.isfunction(value)
            assert len(inspect.getdoc(value) or "") > 20, name
            for member, function in vars(value).items():
                if inspect.isfunction(function) and not member.startswith("_"):
                    assert inspect.getdoc(function), f"{name}.{member}"
        elif inspect.ismodule(value):
            assert value.__doc__


def test_the_package_lists_its_public_names_and_refuses_others():
    assert set(fastbcd.__all__) <= set(dir(fastbcd))
    with pytest.raises(AttributeError, match="no_such_name"):
        fastbcd.no_such_name  # noqa: B018
