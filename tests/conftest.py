"""Settings that every test shares."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path

# Thousands of tiny problems: threads would wait for each other longer than they compute.
# Set before NumPy loads its BLAS; what the tests start inherits it.
for _library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

import pytest  # noqa: E402  # the environment comes first
from hypothesis import settings  # noqa: E402  # the environment comes first

# The same examples in every run, and no failure because a kernel was compiled during one.
settings.register_profile("fastbcd", derandomize=True, deadline=None, database=None)
settings.load_profile("fastbcd")


def pytest_addoption(parser):
    group = parser.getgroup("passed", "run in two parts")
    group.addoption("--record-passed", metavar="FILE", help="write the names of the passed tests")
    group.addoption("--skip-passed", metavar="FILE", help="leave out the tests named in a file")


def pytest_configure(config):
    # With several processes, the first one sees the reports of all others.
    file = config.getoption("record_passed")
    if file is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(Path(file).absolute()))


class Recorder:
    """Writes the names of the passed tests, one per line."""

    def __init__(self, file):
        self.file, self.names = file, []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" and report.passed:
            self.names.append(report.nodeid)

    def pytest_sessionfinish(self):
        self.file.write_text("\n".join(self.names), encoding="utf-8")


def pytest_collection_modifyitems(config, items):
    file = config.getoption("skip_passed")
    if file is None:
        return
    passed = set(Path(file).read_text(encoding="utf-8").split("\n"))
    left_out = [item for item in items if item.nodeid in passed]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item.nodeid not in passed]


@pytest.fixture(params=[False, True], ids=["alone", "shared"])
def alone_and_shared(request):
    """Do everything alone, and in threads that share rows (or right-hand sides)."""
    from fastbcd.parallel.row_threads import row_threads

    with row_threads(3) if request.param else nullcontext():
        yield
