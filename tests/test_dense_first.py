"""Codes of a network that learned more as a dense one, before it was quantised."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastbcd import compress
from fastbcd.compression import job, settings
from fastbcd.compression.dense_first import is_coded
from fastbcd.compression.one_shot import OneShot
from fastbcd.compression.settings import DEFAULTS
from fastbcd.formats import CodebookMatrix, DenseMatrix
from fastbcd.schemes import LowRank, Prune, Quantize
from fastbcd.solvers.refine import Interrupted, refine


def task(seed, n, bumps):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, 10)).astype(np.float32)
    return x, np.sin(x @ bumps).argmax(axis=1)


@pytest.fixture(scope="module")
def half_trained():
    """Return a network that could learn more of its rows, those, and other ones."""
    bumps = np.random.default_rng(5).standard_normal((10, 4)) / 2
    x, y = task(1, 3000, bumps)
    with pytest.warns(ConvergenceWarning):
        model = MLPClassifier((40, 30), max_iter=6, random_state=0).fit(x, y)
    return model, x, y, *task(2, 3000, bumps)


@pytest.fixture
def runs(monkeypatch):
    """Return what is refined, and how, in the order of the runs; 3000 rows are many."""
    found = []

    def record(network, x, targets, course, *rest):
        found.append((network, course))
        return refine(network, x, targets, course, *rest)

    monkeypatch.setattr(job, "refine", record)
    monkeypatch.setattr(settings, "DEFAULTS", replace(DEFAULTS, dense_first_rows=3000))
    return found


def codes(network):
    return [np.asarray(layer.weight.codes) for layer in network.layers[:-1]]


@pytest.mark.parametrize("bits", [1, 3])
def test_codes_know_more_after_their_dense_network_learned_more(
    half_trained, runs, monkeypatch, bits
):
    model, x, y, *others = half_trained
    dense = model.score(*others)

    def score():
        how = {"scheme": Quantize(bits=bits), "epochs": 30, "random_state": 0}
        return compress(model, x, y, **how).score(*others)

    first = score()
    (source, course), (coded, after) = runs
    assert all(type(layer.weight) is DenseMatrix for layer in source.layers)
    assert all(type(layer.weight) is CodebookMatrix for layer in coded.layers[:-1])
    assert course.rate == DEFAULTS.dense_first_rate
    first_share = DEFAULTS.dense_first_share
    epochs = 30 * first_share, 30 * (1 - first_share)
    assert (course.epochs, after.epochs) == pytest.approx(epochs)
    monkeypatch.setattr(settings, "DEFAULTS", replace(DEFAULTS, dense_first_rows=3001))
    at_once = score()
    assert len(runs) == 3
    assert first > max(at_once, dense) + 0.01


@pytest.mark.parametrize(
    "budget",
    [
        {"scheme": LowRank(rank=3)},
        {"scheme": Prune(sparsity=0.5)},
        {"scheme": Prune(sparsity=0.5) + Quantize(bits=2)},
        {"scheme": Quantize(), "max_score_drop": 0.3},
    ],
    ids=["factors", "pruned", "pruned codes", "rows set aside"],
)
def test_what_is_not_codes_alone_or_judged_on_known_rows_is_compressed_at_once(
    half_trained, runs, budget
):
    model, x, y, *_ = half_trained
    compress(model, x, y, epochs=1, random_state=0, **budget)
    assert all(type(net.layers[0].weight) is not DenseMatrix for net, _ in runs)


def test_without_labels_codes_are_made_at_once(half_trained, runs):
    model, x, *_ = half_trained
    compress(model, x, scheme=Quantize(bits=2), epochs=1, random_state=0)
    ((coded, course),) = runs
    assert type(coded.layers[0].weight) is CodebookMatrix
    assert course.epochs == 1


def test_codes_of_a_regression_are_made_at_once(half_trained, runs):
    _, x, y, *_ = half_trained
    with pytest.warns(ConvergenceWarning):
        model = MLPRegressor(hidden_layer_sizes=(20,), max_iter=2, random_state=0).fit(x, y)
    compress(model, x, y, scheme=Quantize(bits=2), epochs=1, random_state=0)
    ((coded, _),) = runs
    assert type(coded.layers[0].weight) is CodebookMatrix


def test_a_byte_bound_holds(half_trained, runs):
    model, x, y, *_ = half_trained
    for bound in (1500, 2500):
        small = compress(model, x, y, scheme=Quantize(), max_bytes=bound, epochs=2, random_state=0)
        assert small.network_.n_bytes <= bound
    assert len(runs) == 4


@pytest.mark.parametrize("when", ["dense", "quantising"])
def test_interrupted_before_there_are_codes_of_it_the_first_ones_stay(
    half_trained, runs, monkeypatch, when
):
    model, x, y, *_ = half_trained
    once = compress(model, x, y, scheme=Quantize(bits=2), epochs=0, random_state=0)

    def interrupt_refining(network, *_):
        raise Interrupted(network)

    def interrupt_stage(job, name, schemes, of=None, usual=job.Job.reconstruct):
        if of is not None:
            raise KeyboardInterrupt
        return usual(job, name, schemes, of)

    if when == "dense":
        monkeypatch.setattr(job, "refine", interrupt_refining)
    else:
        monkeypatch.setattr(job.Job, "reconstruct", interrupt_stage)
    with pytest.warns(ConvergenceWarning, match="Interrupted"):
        small = compress(model, x, y, scheme=Quantize(bits=2), epochs=2, random_state=0)
    for mine, first in zip(codes(small.network_), codes(once.network_), strict=True):
        np.testing.assert_array_equal(mine, first)


def test_codes_alone():
    def coded(*schemes):
        return is_coded(OneShot(None, list(schemes), []))

    assert coded(Quantize(bits=2), Quantize(bits=4), None)
    assert not coded(None, None)
    assert not coded(Quantize(bits=2), Prune(density=0.1))
    assert not coded(Prune(density=0.1) + Quantize(bits=2), Quantize(bits=2))
