"""Options and fixtures of the benchmark suites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Record = Callable[..., None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--quick",
        action="store_true",
        help="tiny shapes and few rounds: shows that the benchmarks run, measures nothing",
    )


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    """Whether shapes and rounds shall be tiny."""
    return bool(request.config.getoption("--quick"))


@pytest.fixture
def record(benchmark: Any) -> Record:
    """Keep one line of the table, with the seconds behind it, in ``extra_info``."""
    lines = benchmark.extra_info.setdefault("lines", [])

    def keep(
        what: str, measured: str, target: str = "", met: bool | None = None, **details: object
    ) -> None:
        lines.append(
            {"what": what, "target": target, "measured": measured, "met": met, "details": details}
        )

    return keep
