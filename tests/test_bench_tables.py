"""The benchmark of tables runs, if its data are there."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed

from bench import certificates, choices, choose_batch, partial_fit, slim, tables

FOLDER = Path(os.environ.get("FASTBCD_DATA", "data"))


needs_data = pytest.mark.skipif(
    not (FOLDER / "tables.npz").exists() or not (FOLDER / "regressions.npz").exists(),
    reason="needs tables.npz and regressions.npz in the folder that FASTBCD_DATA names",
)


@needs_data
def test_a_trial_run_prints_both_tables(capsys):
    tables.main(["--quick", "--tables", "heart,housing"])
    printed = capsys.readouterr().out
    assert "| heart | 120 x 13 |" in printed
    assert "| housing | 120 x " in printed
    assert "seconds over MLPClassifier's" in printed


@needs_data
def test_trial_runs_print_few_rows_and_compressed_networks(capsys):
    tables.main(["--quick", "--tables", "heart", "--rows", "30", "--solver", "full"])
    assert "| heart | 120 x 13 |" in capsys.readouterr().out
    tables.main(["--quick", "--compress"])
    assert "with labels: below the dense network by more than 0.015:" in capsys.readouterr().out


@needs_data
def test_a_trial_run_compares_what_people_choose_between(capsys):
    choices.main(["--quick"])
    printed = capsys.readouterr().out
    for name in (*choices.MODELS, "compress(BCDClassifier, ratio=20)"):
        assert f"| `{name}` |" in printed


@needs_data
def test_a_trial_run_measures_what_the_numbers_of_the_batch_solver_matter(capsys):
    choose_batch.main(["--quick"])
    rows = [line.split(" | ")[0] for line in capsys.readouterr().out.splitlines()]
    assert rows[2:] == [
        "| MLPClassifier",
        *(f"| {name}" for name in list(choose_batch.VARIANTS)[:2]),
    ]


@needs_data
def test_a_trial_run_learns_from_streams(capsys):
    partial_fit.main(["--quick", "--data", "phoneme,hours"])
    printed = capsys.readouterr().out
    assert "| phoneme | 0." in printed
    assert "| hours | " in printed
    assert "after 2: mean" in printed
    with pytest.raises(SystemExit, match="nothing is called"):
        partial_fit.main(["--data", "unknown"])


def test_the_summary_of_streams_names_what_is_behind():
    figures = np.array([[[[0.90, 0.20, 1.0]], [[0.95, 0.40, 2.0]]], [[[0.8, 0.5, 1.0]]] * 2])
    text = partial_fit.summary(["one", "other"], figures, (1,), regression=False)
    assert "after 1: mean 0.8500, scikit-learn 0.8750; log loss 0.707 of theirs" in text
    assert "lower on 1 of 2; seconds 0.75 of theirs (median)" in text
    assert "behind by more than 0.003: one 0.0500" in text


def test_seconds_to_an_accuracy_count_the_calls_alone(monkeypatch):
    class Learning:
        rows = 0

        def partial_fit(self, x, y, classes):
            self.rows += len(x)

        def predict(self, x):
            return np.ones(len(x)) if self.rows > 1000 else np.zeros(len(x))

    parts = np.zeros((1000, 2)), np.zeros((10, 2)), np.ones(1000), np.ones(10)
    right, seconds, there = partial_fit.seconds_to(Learning(), parts, 100, 0)
    assert right == 0
    assert 0 <= seconds <= there < np.inf
    monkeypatch.setattr(partial_fit, "MOST_PASSES", 1)
    assert partial_fit.seconds_to(Learning(), parts, 100, 0)[2] == np.inf


@pytest.mark.skipif(
    not all((FOLDER / name).exists() for name in ("lipsdp.npz", "mnist.npz")),
    reason="lipsdp.npz or mnist.npz is not there",
)
def test_a_trial_run_certifies(capsys):
    certificates.main(["--quick"])
    printed = capsys.readouterr().out
    assert "| random | neuron | 36.482 | yes | 36.482 |" in printed
    assert "| mnist | layer | 26.256 | yes |" in printed
    assert "| 0.01 | " in printed


def test_missing_data_say_where_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTBCD_DATA", str(tmp_path))
    with pytest.raises(SystemExit, match=r"tables\.npz is missing\. Set FASTBCD_DATA"):
        tables.main([])


def test_the_summary_counts_losses_and_ratios():
    names, sizes = ["small", "large"], [100, 6000]
    figures = np.array([[[0.90, 0.20, 1.0], [0.95, 0.40, 2.0]], [[0.8, 0.5, 1.0], [0.8, 0.5, 4.0]]])
    text = tables.summary(names, sizes, figures)
    assert "fastbcd 0.8500 / 0.3500, MLPClassifier 0.8750 / 0.4500" in text
    assert "geometric mean 0.707 of MLPClassifier's, lower on 1" in text
    assert "behind by more than 0.010: 1 small" in text
    assert "median 0.38, from 5000 rows on 0.25, most 0.50 (small)" in text


def test_a_trial_run_makes_networks_slim(capsys):
    slim.main(["--quick"])
    printed = capsys.readouterr().out
    for start in ("| MLPClassifier | 800 |", "| BCDClassifier | 800 |", "| digits | 64 |"):
        assert start in printed
