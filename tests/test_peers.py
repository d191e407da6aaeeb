"""The peers of the benchmarks do what their papers say: a comparison is worth no more than that."""

import argparse
import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the benchmarks are not installed

from bench.compress import tables
from bench.compress.frontier import bytes_at
from bench.peers import codebook, exact_obs, low_rank, oneshot
from bench.peers.sequential import through_layers


def layer(d=8, m=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(60, d)) @ rng.normal(size=(d, d)) + 0.5
    return rng.normal(size=(d, m)), x.T @ x / len(x)


def loss(weight, found, gram):
    change = weight - found
    return np.sum(change * (gram @ change))


ONE_SHOT = {
    "magnitude": oneshot.magnitude,
    "magnitude_refit": oneshot.magnitude_refit,
    "wanda": oneshot.wanda,
    "sparse_gpt": oneshot.sparse_gpt,
    "admm_grad": oneshot.admm_grad,
    "alps": oneshot.alps,
    "exact_obs": exact_obs.exact_obs,
}


@pytest.mark.parametrize("name", ONE_SHOT)
@pytest.mark.parametrize("k", [1, 13, 40])
def test_a_pruner_keeps_exactly_so_many_weights(name, k):
    weight, gram = layer()
    found = ONE_SHOT[name](weight, gram, k)
    assert found.shape == weight.shape
    assert np.count_nonzero(found) == k


@pytest.mark.parametrize("name", ONE_SHOT)
def test_a_pruner_that_may_keep_everything_changes_nothing(name):
    weight, gram = layer()
    np.testing.assert_allclose(ONE_SHOT[name](weight, gram, weight.size), weight, atol=1e-8)


@pytest.mark.parametrize("seed", range(4))
def test_the_first_removals_of_exact_obs_are_the_best_single_ones(seed):
    weight, gram = layer(6, 3, seed)
    h = oneshot.damped(gram, exact_obs.DAMPING)
    everything = np.ones(weight.shape, bool)

    def without(places):
        mask = everything.copy()
        for place in places:
            mask[place] = False
        return loss(weight, oneshot.refit(mask, weight, h), h)

    best = min(([place] for place in np.ndindex(weight.shape)), key=without)
    found = exact_obs.exact_obs(weight, gram, weight.size - 1)
    assert found[best[0]] == 0
    assert loss(weight, found, h) == pytest.approx(without(best))


@pytest.mark.parametrize("seed", range(4))
def test_the_recorded_losses_of_exact_obs_add_up_to_what_its_removals_cost(seed):
    # One output: no merging, and each recorded loss is exact, not made to rise.
    weight, gram = layer(7, 1, seed)
    found = exact_obs.trace(weight, gram)
    for k in range(1, 7):
        mask = np.ones(7, bool)
        mask[found.order[0, : 7 - k]] = False
        refitted = oneshot.refit(mask[:, None], weight, found.gram)
        own = _plain_obs(weight[:, 0], found.gram, 7 - k)
        np.testing.assert_allclose(refitted[:, 0], own, atol=1e-8)


def _plain_obs(w, h, n_removed):
    """Optimal brain surgeon as in the paper: downdates of the inverse, in NumPy."""
    w, inverse, gone = w.copy(), np.linalg.inv(h), []
    for _ in range(n_removed):
        score = np.square(w) / np.diag(inverse)
        score[gone] = np.inf
        p = int(score.argmin())
        w = w - inverse[:, p] * w[p] / inverse[p, p]
        inverse = inverse - np.outer(inverse[:, p], inverse[p]) / inverse[p, p]
        gone.append(p)
        w[gone] = 0
        inverse[gone, gone] = 1  # never chosen again
    return w


@pytest.mark.parametrize("seed", range(5))
def test_data_aware_pruners_come_near_the_best_support(seed):
    weight, gram = layer(4, 2, seed)
    k = 4
    supports = []
    for chosen in itertools.combinations(range(8), k):
        mask = np.zeros(8, bool)
        mask[list(chosen)] = True
        supports.append(loss(weight, oneshot.refit(mask.reshape(4, 2), weight, gram), gram))
    best = min(supports)
    found = {name: loss(weight, prune(weight, gram, k), gram) for name, prune in ONE_SHOT.items()}
    assert min(found.values()) >= best - 1e-9
    assert found["exact_obs"] <= np.median(supports)
    assert found["alps"] <= np.median(supports)


def test_data_aware_pruners_rank_as_published():
    totals = dict.fromkeys(ONE_SHOT, 0.0)
    for seed in range(6):
        weight, gram = layer(40, 20, seed)
        for name, prune in ONE_SHOT.items():
            totals[name] += loss(weight, prune(weight, gram, 160), gram) / loss(weight, 0, gram)
    assert totals["admm_grad"] < min(totals["magnitude"], totals["wanda"], totals["sparse_gpt"])
    assert max(totals["alps"], totals["exact_obs"]) < totals["admm_grad"]


def test_sparse_gpt_leaves_the_last_input_as_elimination_does():
    # With every input but the last removed, its weights are the exact ridge solution.
    weight, gram = layer(3, 4)
    upper = np.linalg.cholesky(np.linalg.inv(oneshot.damped(gram))).T
    weight[:2] *= 1e-6 / np.abs(weight[:2])
    assert (np.abs(weight[2] / upper[2, 2]) > 1e-3).all()
    found = oneshot.sparse_gpt(weight, gram, 4)
    mask = np.zeros((3, 4), bool)
    mask[2] = True
    np.testing.assert_allclose(found, oneshot.refit(mask, weight, oneshot.damped(gram)), atol=1e-10)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_whitened_factors_are_the_best_in_the_metric_of_the_data(rank):
    weight, gram = layer(9, 6)
    h = oneshot.damped(gram, 1e-3)
    values, vectors = np.linalg.eigh(h)
    root = (vectors * np.sqrt(values)) @ vectors.T
    tail = np.linalg.svd(root @ weight, compute_uv=False)[rank:]
    left, right = low_rank.whitened(weight, gram, rank)
    assert left.shape == (9, rank)
    assert loss(weight, left @ right, h) == pytest.approx(np.sum(tail**2))


def test_all_factorisations_are_exact_at_full_rank():
    weight, gram = layer(7, 4)
    for method in (low_rank.plain, low_rank.activation_aware, low_rank.whitened):
        left, right = method(weight, gram, 4)
        np.testing.assert_allclose(left @ right, weight, atol=1e-8)


@pytest.mark.parametrize("k", [2, 4])
def test_k_means_is_a_fixed_point(k):
    values = np.random.default_rng(0).normal(size=200)
    levels = codebook.k_means_1d(values, k)
    codes = codebook.nearest(values, levels)
    np.testing.assert_allclose(levels, [values[codes == c].mean() for c in range(k)])


def test_k_means_finds_clear_clusters():
    values = np.repeat([-3.0, -1.0, 0.5, 7.0], 5)
    np.testing.assert_allclose(codebook.k_means_1d(values, 4), [-3.0, -1.0, 0.5, 7.0])


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gptq_beats_rounding_in_the_metric_of_the_data(bits):
    totals = np.zeros(2)
    for seed in range(5):
        weight, gram = layer(30, 10, seed)
        for i, method in enumerate((codebook.gptq_k_means, codebook.k_means)):
            options = () if i == 0 else (True,)
            found = method(weight, gram, bits, *options)
            assert found.levels.shape == (10, 2**bits)
            totals[i] += loss(weight, found.to_dense(), gram)
    assert totals[0] < totals[1]


def test_gptq_on_independent_inputs_is_rounding():
    weight, _ = layer(6, 4)
    gram = np.diag(np.arange(1.0, 7.0))
    found = codebook.gptq_k_means(weight, gram, 2)
    np.testing.assert_array_equal(found.codes, codebook.k_means(weight, gram, 2, True).codes)


def test_bytes_of_codes_and_levels():
    coded = codebook.k_means(layer(9, 3)[0], np.eye(9), 2, per_output=True)
    assert coded.n_bytes == 7 + 4 * 3 * 4


def test_layers_see_dense_or_compressed_inputs():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=(4, 3)), rng.normal(size=(3, 2)), rng.normal(size=(2, 2))]
    intercepts = [np.zeros(3), np.zeros(2), np.zeros(2)]
    x = rng.normal(size=(20, 4))
    seen = {}
    for inputs in ("dense", "compressed"):
        grams = []

        def halve(weight, gram, index, grams=grams):
            grams.append(gram)
            return weight / 2

        halves = through_layers(halve, weights, intercepts, x, inputs)
        assert len(halves) == 2
        seen[inputs] = grams
    np.testing.assert_allclose(seen["dense"][0], seen["compressed"][0])
    np.testing.assert_allclose(seen["dense"][1], 4 * seen["compressed"][1])


def test_bytes_at_equal_accuracy():
    points = [(100, 0.8), (10_000, 0.9), (1000, 0.85)]
    assert bytes_at(points, 0.95) is None
    assert bytes_at(points, 0.7) == 100
    assert bytes_at(points, 0.9) == pytest.approx(10_000)
    assert bytes_at(points, 0.875) == pytest.approx(np.sqrt(1e7))


class TestTraining:
    """Peers that train, on two well separated clouds."""

    @pytest.fixture
    def problem(self, monkeypatch):
        pytest.importorskip("torch", reason="the peers that train need PyTorch")
        from bench.peers import finetune

        # A clock of its own, a millisecond at every look: as many steps on any machine.
        looks = itertools.count()
        monkeypatch.setattr(finetune, "perf_counter", lambda: next(looks) / 1000)
        rng = np.random.default_rng(0)
        y = np.arange(400) % 2
        x = rng.normal(size=(400, 6)) + 3 * y[:, None]
        weights = [rng.normal(size=(6, 8)), rng.normal(size=(8, 5)), rng.normal(size=(5, 2))]
        intercepts = [np.zeros(8), np.zeros(5), np.zeros(2)]
        return finetune, finetune.Rows(x, y), weights, intercepts

    def accuracy(self, rows, weights, intercepts):
        v = rows.x
        for weight, intercept in zip(weights[:-1], intercepts[:-1], strict=True):
            v = np.maximum(v @ weight + intercept, 0)
        return np.mean((v @ weights[-1] + intercepts[-1]).argmax(axis=1) == rows.y)

    def test_fine_tuning_learns_and_keeps_the_mask(self, problem):
        finetune, rows, weights, intercepts = problem
        masks = [np.abs(w) > 0.7 for w in weights[:-1]]
        parts = [finetune.Masked(w, m) for w, m in zip(weights, masks, strict=False)]
        parts.append(finetune.Masked(weights[-1]))
        found, biases = finetune.fine_tune(parts, intercepts, rows, 1.0, rate=0.01)
        assert self.accuracy(rows, found, biases) > 0.95
        for weight, mask in zip(found[:-1], masks, strict=True):
            assert not weight[~mask].any()

    def test_shared_levels_stay_shared(self, problem):
        finetune, rows, weights, intercepts = problem
        coded = [codebook.k_means(w, w, 2) for w in weights[:-1]]
        parts = [finetune.Shared(c.levels, c.codes) for c in coded]
        np.testing.assert_allclose(
            parts[0].weight().detach().numpy(), coded[0].to_dense(), rtol=1e-6
        )
        parts.append(finetune.Masked(weights[-1]))
        found, _ = finetune.fine_tune(parts, intercepts, rows, 0.3)
        assert np.unique(found[0]).size <= 4

    def test_gradual_pruning_and_learning_compression_end_with_so_many_weights(self, problem):
        finetune, rows, weights, intercepts = problem

        def project(hidden):
            sizes = np.concatenate([np.abs(w).ravel() for w in hidden])
            threshold = np.sort(sizes)[-20]
            return [w * (np.abs(w) >= threshold) for w in hidden]

        # On these starting weights a rate of 0.2 ends in dead neurons, on some processors.
        for found, biases in (
            finetune.gradual_magnitude(weights, intercepts, rows, 20, 1.0, rate=0.01),
            finetune.learning_compression(weights, intercepts, rows, project, 1.0, rate=0.05),
        ):
            assert sum(np.count_nonzero(w) for w in found[:-1]) == 20
            assert self.accuracy(rows, found, biases) > 0.9

    def test_a_learning_compression_that_diverges_is_done_over(self, problem, monkeypatch):
        finetune, rows, weights, intercepts = problem
        rates = []
        run = finetune.learning_compression

        def noted(*args, **settings):
            rates.append(settings["rate"])
            return run(*args, **settings)

        def project(hidden):
            return [w * (np.nan if len(rates) == 1 else 1) for w in hidden]

        monkeypatch.setattr(finetune, "learning_compression", noted)
        found, biases = noted(weights, intercepts, rows, project, 1.0, rate=0.2)
        assert all(np.isfinite(matrix).all() for matrix in [*found, *biases])
        assert rates == [0.2, 0.05]


def table_options(**changes):
    options = {"quick": False, "fresh": None, "without": [], "amounts": [], "networks": ["mnist"]}
    return argparse.Namespace(**{**options, **changes})


def test_a_row_is_measured_once_kept_on_disk_and_measured_again_when_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    row = tables.Row("mnist", "5%", "ALPS", "no", 0.9, "0.1 / 0.2", 0.3, 1.5, 1000)
    other = replace(row, network="letter")
    calls = []

    def measure(found):
        calls.append(found)
        return found

    first = tables.Table("pruning", table_options(without=["LC"]))
    assert first.add("mnist", "5%", "LC", lambda: measure(row)) is None
    some = tables.Table("pruning", table_options(amounts=["1%", "2%"]))
    assert some.add("mnist", "5%", "ALPS", lambda: measure(row)) is None
    for _ in range(2):
        assert first.add("mnist", "5%", "ALPS", lambda: measure(row)) == row
        first.add("letter", "5%", "ALPS", lambda: measure(other))
    assert calls == [row, other]
    assert tables.Table("pruning", table_options()).rows == [row, other]
    assert tables.Table("pruning", table_options(fresh=["SparseGPT"])).rows == [row, other]
    assert tables.Table("pruning", table_options(fresh=["AL"])).rows == [other]
