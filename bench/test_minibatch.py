"""The benchmarks of the mini-batch solver run; they are measured by commands of their own."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

NAMES = ("accuracy_over_time", "compression", "memory_map", "peers_table", "profile")


@pytest.mark.parametrize("name", NAMES)
def test_a_command_runs_in_small(
    name: str, quick: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not quick:
        pytest.skip(f"measured by python -m bench.minibatch.{name}")
    if name == "memory_map" and not sys.platform.startswith("linux"):
        pytest.skip("resident memory is read from /proc")
    monkeypatch.setattr(sys, "argv", [name, "--quick"])
    import_module(f"bench.minibatch.{name}").main()
    table = capsys.readouterr().out
    assert "|---" in table
    assert "nan" not in table
