"""The experiments of the paper run; they are measured by commands of their own."""

from __future__ import annotations

import sys
from importlib import import_module

import pytest

NAMES = ("mlp", "cnn", "imbalance", "grid", "inits", "convergence")


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_runs_in_small(
    name: str, quick: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not quick:
        pytest.skip(f"measured by python -m bench.paper.{name}")
    pytest.importorskip("torch", reason='compares with PyTorch: pip install "fastbcd[torch]"')
    pytest.importorskip("tensorly", reason="compares with TensorLy: pip install tensorly")
    if name == "cnn":
        pytest.importorskip("fastbcd.layers")
    monkeypatch.setattr(sys, "argv", [name, "--quick"])
    import_module(f"bench.paper.{name}").main()
    table = capsys.readouterr().out
    assert "| ---" in table
    assert "nan" not in table
