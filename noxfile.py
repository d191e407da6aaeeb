# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2025.11"]
# ///
"""Every check of the project, each in an environment of its own: ``nox``, ``nox -s lint``.

What is installed is read from pyproject.toml, so nothing is stated twice. A Python that is
not on the machine is skipped. Options after ``--`` go to the tool of the session.
"""

import shutil
import zipfile
from pathlib import Path

import nox

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = nox.project.python_versions(PYPROJECT)
OLDEST = PYTHONS[0]
NOJIT = ["test_kernels*.py", "test_linalg.py", "test_formats.py", "test_schemes.py"]
PACKAGES = {"fastbcd", "fastbcd_kernels"}

SMOKE_FIT = """
import numpy as np
from fastbcd import BCDClassifier
from fastbcd.schemes import Prune
rng = np.random.default_rng(0)
X = rng.standard_normal((200, 8))
y = (X[:, 0] > 0).astype(int)
clf = BCDClassifier((16,), scheme=Prune(sparsity=0.5), random_state=0).fit(X, y)
assert clf.score(X, y) > 0.9, clf.score(X, y)
print(clf.compression_report_)
"""

UPGRADE_CALL = """
import numpy as np
import fastbcd
from fastbcd_kernels.residual import weighted_squared_distance as distance
answer = distance(np.ones((2, 3)), np.zeros((2, 3)), np.ones(2))
print(fastbcd.__version__, answer, sum(distance.stats.cache_hits.values()))
"""

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = False
nox.options.reuse_venv = "yes"


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, name))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run all tests with every supported Python that is installed, the slow ones too."""
    session.install("-e.", *group("test"))
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, formatting and spelling."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")
    session.run("codespell")


@nox.session
def typing(session: nox.Session) -> None:
    """Check the types of both packages, strictly, and what users' type checkers make of them."""
    session.install("-e.", *group("typing"), *group("test"))
    session.run("mypy", *session.posargs)
    session.run("pytest", "tests/test_typing.py")


@nox.session
def nojit(session: nox.Session) -> None:
    """Run the quick kernel tests, and one fit, with the kernels as plain Python."""
    session.install("-e.", *group("test"))
    plain = {"NUMBA_DISABLE_JIT": "1"}
    found = [str(path) for name in NOJIT for path in sorted(Path("tests").glob(name))]
    # Compiled arithmetic is silent; NumPy's scalars warn of what the tests do on purpose.
    silent = ["-W", "ignore::RuntimeWarning"]
    session.run("pytest", *silent, "-m", "not slow", *found, *session.posargs, env=plain)
    session.run("python", "-c", SMOKE_FIT, env=plain)


@nox.session(python=OLDEST, venv_backend="uv", default=False)
def minimums(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that pyproject.toml admits."""
    session.install("--resolution=lowest-direct", "-e.", *group("test"))
    session.run("uv", "pip", "list", external=True)
    session.run("pytest", *session.posargs)


@nox.session(default=False)
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel, then use the wheel in a clean environment away from the checkout."""
    session.install("build")
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    session.run("python", "-m", "build", "--outdir", str(folder / "dist"))
    (built,) = (folder / "dist").glob("*.whl")
    found = {name.split("/")[0] for name in zipfile.ZipFile(built).namelist()}
    found = {name for name in found if not name.endswith(".dist-info")}
    if found != PACKAGES:
        session.error(f"The wheel holds {sorted(found)} instead of {sorted(PACKAGES)}.")
    session.run("python", "-m", "venv", str(folder / "clean"))
    binaries = "Scripts" if (folder / "clean" / "Scripts").exists() else "bin"
    python = str(folder / "clean" / binaries / "python")
    session.run(python, "-m", "pip", "install", "-q", str(built), external=True)
    with session.chdir(folder):
        session.run(python, "-m", "fastbcd", "--help", external=True)
        session.run(python, "-c", SMOKE_FIT, external=True)


@nox.session(venv_backend="virtualenv", default=False)
def upgrade(session: nox.Session) -> None:
    """Install a wheel, run it, install one with a changed kernel, and see that the new one runs."""
    session.install("build")
    folder = Path(session.create_tmp()).resolve()
    shutil.rmtree(folder)
    session.run("python", "-m", "venv", str(folder / "clean"))
    binaries = "Scripts" if (folder / "clean" / "Scripts").exists() else "bin"
    python = str(folder / "clean" / binaries / "python")
    answers = []
    for version, change in (("1.0.0", False), ("1.0.1", True)):
        source = folder / version
        for name in ("fastbcd", "kernels"):
            shutil.copytree(name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(name, source)
        (source / "fastbcd" / "_version.py").write_text(f'"""v"""\n\n__version__ = "{version}"\n')
        if change:
            kernel = source / "kernels" / "fastbcd_kernels" / "residual.py"
            text = kernel.read_text(encoding="utf-8")
            kernel.write_text(text.replace("    return total", "    return 2 * total", 1))
        session.run(
            "python", "-m", "build", "--wheel", "--outdir", str(source / "dist"), str(source)
        )
        (built,) = (source / "dist").glob("*.whl")
        session.run(python, "-m", "pip", "install", "-q", "-U", str(built), external=True)
        with session.chdir(folder):
            for _ in range(2):  # the second process loads from the cache
                out = session.run(python, "-c", UPGRADE_CALL, external=True, silent=True)
                answers.append(str(out).strip().splitlines()[-1])
    session.log(f"answers: {answers}")
    if answers != ["1.0.0 6.0 0", "1.0.0 6.0 1", "1.0.1 12.0 0", "1.0.1 12.0 1"]:
        session.error(f"An upgrade ran old code: {answers}")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, gallery included; a warning or a broken link is an error."""
    session.install("-e.[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-b", "html", "docs", "docs/_build/html")


@nox.session(venv_backend="virtualenv", default=False)
def bench(session: nox.Session) -> None:
    """Run the benchmarks in small; ``nox -s bench -- --full`` measures and prints the table."""
    session.install("-e.", *group("test"), *group("peers"))
    options = list(session.posargs)
    if "--full" in options:
        options.remove("--full")
    else:
        options.append("--quick")
    session.run("python", "-m", "bench.report", *options)


if __name__ == "__main__":
    nox.main()
