"""Refinement of compressed networks: the kernels, the blocks of each format, the course."""

from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from fastbcd import compress
from fastbcd.compression import job
from fastbcd.compression.coarse_start import are_many, denser
from fastbcd.compression.coarse_to_fine import bytes_of, narrowed, trimmed
from fastbcd.compression.lengths import batch_size, times_longer
from fastbcd.compression.settings import DEFAULTS as COMPRESSION
from fastbcd.formats import CodebookMatrix, CodebookSparseMatrix, DenseMatrix, SparseMatrix
from fastbcd.network.balance import balanced
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Layer, Network
from fastbcd.parallel import crew as crew_of_threads
from fastbcd.parallel.crew import WORTH, Crew
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.schemes.nearest.support import supports
from fastbcd.solvers.reconstruct import Calibration
from fastbcd.solvers.refine import Descent, Interrupted, RefineSettings, Targets, refine, sparse
from fastbcd.solvers.refine.batches import Batches
from fastbcd.solvers.refine.chain import Chain
from fastbcd.solvers.refine.descent import survivors
from fastbcd.solvers.refine.judge import Judge
from fastbcd.solvers.refine.quantized import Leading, Rounding
from fastbcd.solvers.refine.settings import DEFAULTS
from fastbcd.solvers.refine.sparse import SparseBlock
from fastbcd.statistics.moments import Moments
from fastbcd_kernels import codebook_fit, dense_step, masked_refit, sparse_batch


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def network(rng, widths=(12, 20, 15, 4), activation="relu"):
    names = [activation] * (len(widths) - 2) + ["identity"]
    return Network(
        [
            Layer(
                DenseMatrix((rng.standard_normal((a, b)) / np.sqrt(a)).astype(np.float32)),
                rng.standard_normal(b).astype(np.float32),
                name,
            )
            for a, b, name in zip(widths[:-1], widths[1:], names, strict=True)
        ]
    )


def sparse_layer(rng, d=23, m=9, density=0.3):
    weight = (rng.standard_normal((d, m)) * (rng.random((d, m)) < density)).astype(np.float32)
    weight[:, 2] = 0
    start, index = supports(weight != 0)
    outputs = np.repeat(np.arange(m), np.diff(start))
    return weight, start, index, outputs, np.ascontiguousarray(weight[index, outputs])


# ------------------------------------------------------------------ kernels


@pytest.mark.parametrize("density", [0.1, 0.5, 1.0])
def test_products_equal_dense_ones(rng, density):
    weight, start, index, outputs, values = sparse_layer(rng, density=density)
    v = rng.standard_normal((23, 13)).astype(np.float32)
    pull = rng.standard_normal((9, 13)).astype(np.float32)
    intercept = rng.standard_normal(9).astype(np.float32)
    mean = rng.standard_normal(23).astype(np.float32)
    u, back = np.empty_like(pull), np.empty_like(v)
    gradient = np.empty_like(values)
    sparse_batch.forward(start, index, values, intercept, v, u)
    sparse_batch.backward(start, index, values, pull, back)
    sparse_batch.gradient(start, index, v, pull, mean, gradient)
    np.testing.assert_allclose(u, weight.T @ v + intercept[:, None], atol=1e-5)
    np.testing.assert_allclose(back, weight @ pull, atol=1e-5)
    expected = (v - mean[:, None]) @ pull.T / 13
    np.testing.assert_allclose(gradient, expected[index, outputs], atol=1e-5)


def test_step_solves_on_the_support_and_keeps_the_mean_output(rng):
    weight, start, index, outputs, values = sparse_layer(rng)
    gram = np.cov(rng.standard_normal((80, 23)).T)
    counts = np.diff(start)
    offset = np.concatenate([[0], np.cumsum(counts * (counts + 1) // 2)])
    inverses = np.empty(offset[-1], np.float32)
    masked_refit.masked_inverses(gram, start, index, offset, 0, 9, inverses)
    gradient, velocity = rng.standard_normal((2, values.size)).astype(np.float32)
    mean = rng.standard_normal(23).astype(np.float32)
    intercept = rng.standard_normal(9).astype(np.float32)
    before = weight.T @ mean + intercept
    expected = values.astype(np.float64)
    for i in range(9):
        own = slice(start[i], start[i + 1])
        rows = index[own]
        solved = np.linalg.solve(gram[np.ix_(rows, rows)], gradient[own])
        expected[own] += 0.1 * (0.7 * velocity[own] + solved - 0.01 * values[own])
    sparse_batch.step(
        gradient, start, index, offset, inverses, mean, 0.7, 0.1, 0.01, velocity, values, intercept
    )
    np.testing.assert_allclose(values, expected, rtol=1e-3, atol=1e-4)
    moved = np.zeros_like(weight)
    moved[index, outputs] = values
    np.testing.assert_allclose(moved.T @ mean + intercept, before, atol=1e-4)


def test_a_dense_step_moves_the_weights_with_momentum(rng):
    solved, velocity, weight = rng.standard_normal((3, 23, 9)).astype(np.float32)
    mean, shift = rng.standard_normal(23).astype(np.float32), np.empty(9, np.float32)
    faster = 0.7 * velocity + solved
    change = 0.1 * (faster - 0.01 * weight)
    moved = weight + change
    dense_step.step(solved, mean, 0.7, 0.1, 0.01, velocity, weight, shift)
    np.testing.assert_allclose(velocity, faster, atol=1e-6)
    np.testing.assert_allclose(weight, moved, atol=1e-6)
    np.testing.assert_allclose(shift, mean @ change, atol=1e-5)


@pytest.mark.parametrize("dropped", [0, 64])
def test_gather_transposes_and_drops(rng, dropped):
    x, rows = rng.random((50, 11)), rng.permutation(50)[:39]
    inputs = np.array([0, 3, 4, 9])
    noise = rng.integers(0, 256, 11 * 39).astype(np.uint8)
    out = np.full((11, 39), 7.0, np.float32)
    sparse_batch.gather(x, rows, inputs, noise, dropped, 2, 37, out)
    kept = dropped <= noise.reshape(39, 11)[:, inputs].T
    expected = x[np.ix_(rows, inputs)].T * kept * (256 / (256 - dropped))
    np.testing.assert_allclose(out[inputs, 2:37], expected[:, 2:37], rtol=1e-6)
    assert (np.delete(out, inputs, axis=0) == 7).all()
    assert (out[:, [0, 1, 37, 38]] == 7).all()


def test_snap_takes_the_nearest_level(rng):
    values, scale = rng.standard_normal(200).astype(np.float32), rng.random(200).astype("f") + 0.1
    levels = np.sort(rng.standard_normal(5)).astype(np.float32)
    codes, out = np.empty(200, np.int32), np.empty(200, np.float32)
    codebook_fit.snap(values, scale, (levels[1:] + levels[:-1]) / 2, levels, codes, out)
    options = levels * scale[:, None]
    nearest = np.abs(options - values[:, None]).min(axis=1)
    np.testing.assert_allclose(np.abs(out - values), nearest, atol=1e-6)
    np.testing.assert_array_equal(out, options[np.arange(200), codes])


@pytest.mark.parametrize("d", [1, DEFAULTS.leading, DEFAULTS.leading + 1, 40])
def test_all_but_the_leading_variances_are_replaced_by_their_mean(rng, d):
    gram = np.cov(rng.standard_normal((d, 3 * d + 9)), ddof=0).reshape(d, d) + 0.1 * np.eye(d)
    matrix = rng.standard_normal((d, 5)).astype(np.float32)
    variances, directions = np.linalg.eigh(gram)
    if d > DEFAULTS.leading:
        variances[: -DEFAULTS.leading] = variances[: -DEFAULTS.leading].mean()
    expected = (directions / variances) @ directions.T @ matrix
    np.testing.assert_allclose(Leading(gram).times(matrix.copy()), expected, atol=1e-4)


def test_rounding_keeps_the_ratios_of_the_levels_and_fits_their_factor(rng):
    levels, scale = np.array([-1, 0.5, 2], np.float32), rng.random(400).astype(np.float32) + 0.5
    free = 1.1 * levels[rng.integers(0, 3, 400)] * scale
    free += 0.05 * rng.standard_normal(400).astype(np.float32)
    rounding, out = Rounding(levels, scale), np.empty_like(free)
    for _ in range(2):
        rounding.round(free, out)
    codes, found = rounding.finished(free)
    unit = levels[codes] * scale
    np.testing.assert_allclose(found, levels * (unit @ free) / (unit @ unit), rtol=1e-4)


# ------------------------------------------------------------------ targets and batches


@pytest.mark.parametrize("classify", [True, False])
@pytest.mark.parametrize("smoothing", [None, 0.0, 0.2])
@pytest.mark.parametrize("labelled", [True, False])
def test_pull_is_the_negative_gradient_of_the_loss(rng, classify, labelled, smoothing):
    labels = np.eye(4)[rng.integers(0, 4, 6)] if labelled else None
    targets = Targets(rng.standard_normal((6, 4)), labels, classify, smoothing=smoothing)
    u, rows = rng.standard_normal((6, 4)), np.arange(6)
    pull = targets.pull(u, rows)
    for i, k in ((0, 0), (3, 2), (5, 3)):
        up, down = u.copy(), u.copy()
        up[i, k] += 1e-5
        down[i, k] -= 1e-5
        slope = (targets.loss(up, rows) - targets.loss(down, rows)) / 2e-5 * 6
        np.testing.assert_allclose(pull[i, k], -slope, rtol=1e-5, atol=1e-7)


def test_batches_pass_over_all_rows(rng):
    x = rng.random((60, 5))
    rows = np.arange(10, 60)
    batches = Batches(x, rows, 10, 0.0, np.random.RandomState(0))
    seen = []
    for _ in range(5):
        chosen, v = batches.next(np.arange(5))
        np.testing.assert_allclose(v.T, x[chosen], rtol=1e-6)
        seen += chosen.tolist()
    assert sorted(seen) == rows.tolist()
    dropping = Batches(x, rows, 50, 0.3, np.random.RandomState(0))
    _, v = dropping.next(np.arange(5))
    assert 0.15 < np.mean(v == 0) < 0.45
    np.testing.assert_allclose(v.mean(), x[rows].mean(), rtol=0.2)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_crew_shares_work_evenly(size):
    cost = np.array([0, 7, 1, 1, 1, 0, 5, 3]) * int(WORTH)
    done = []
    with Crew(size) as crew:
        parts = crew.parts(cost)
        crew.share(lambda lo, hi: done.append((lo, hi)), parts)
        assert crew.parts(cost // int(WORTH)) == [(0, 8)]
        assert crew.parts(cost[:0]) == []
    assert sorted(done) == parts
    assert parts[0][0] == 0
    assert parts[-1][1] == 8
    assert all(a[1] == b[0] for a, b in pairwise(parts))
    assert len(parts) == size
    assert max(cost[lo:hi].sum() for lo, hi in parts) <= cost.sum() / size + cost.max()


def test_a_crew_passes_on_what_its_helpers_raise():
    def work(first, last):
        if first > 0:
            raise ValueError("here")

    with Crew(2) as crew, pytest.raises(ValueError, match="here"):
        crew.share(work, [(0, 1), (1, 2)])


def test_threads_change_no_bit_of_a_refinement(rng, monkeypatch):
    """Every output is computed by one of them, in the same way."""
    monkeypatch.setattr(crew_of_threads, "WORTH", 1.0)
    x, dense = rng.standard_normal((500, 12)).astype(np.float32), network(rng)
    start = Calibration(dense, x, None, True).reconstruct([Prune(density=0.2)] * 2 + [None])
    targets = Targets(dense.forward(x), np.eye(4, dtype="f")[rng.integers(0, 4, 500)], True)
    found = []
    for n in (1, 3):
        monkeypatch.setattr(crew_of_threads, "n_threads", lambda n=n: n)
        course = RefineSettings(epochs=20, batch_size=50)
        found.append(refine(start.network, x, targets, course, np.random.RandomState(0)))
    for one, other in zip(*(few.layers for few in found), strict=True):
        np.testing.assert_array_equal(one.weight.to_dense(), other.weight.to_dense())
        np.testing.assert_array_equal(one.intercept, other.intercept)


# ------------------------------------------------------------------ the chain


def test_the_first_layer_is_inverted_again_only_where_its_support_moves(rng, monkeypatch):
    inverted, invert = [], sparse.general_inverse

    def counted(grams):
        inverted.append(len(grams))  # one for each output: 20 of the first layer, 15 of the second
        return invert(grams)

    monkeypatch.setattr(sparse, "general_inverse", counted)
    x = rng.standard_normal((300, 12)).astype(np.float32)
    start = Calibration(network(rng), x, None, True).reconstruct([Prune(density=0.4)] * 2 + [None])
    targets = Targets(np.zeros((300, 4)), None, True)
    chain = Chain(start.network.layers, x, targets, np.arange(300))
    chain.measure()
    chain.step(np.ascontiguousarray(x[:50].T), np.arange(50), 0.5, 0.9, 0.0)
    chain.measure()
    assert inverted == [20, 15, 15]
    before = chain.blocks[0].weight() != 0
    chain.measure(share=0.5)
    assert (before != (chain.blocks[0].weight() != 0)).any()
    assert inverted == [20, 15, 15, 20, 15]
    chain.restart(start.network.layers)
    chain.measure()
    assert inverted[5:] == [20, 15]


@pytest.mark.parametrize("activation", [name for name in ALL_ACTIVATIONS if name != "identity"])
@pytest.mark.parametrize("scheme", [Prune(density=0.2), Prune(density=0.6), LowRank(rank=3)])
def test_a_small_step_lowers_the_loss_of_its_batch(rng, activation, scheme):
    net = network(rng, activation=activation)
    x = rng.standard_normal((500, 12)).astype(np.float32)
    start = Calibration(net, x, None, True).reconstruct([scheme, scheme, None]).network
    targets = Targets(net.forward(x), None, True)
    rows = np.arange(500)
    chain = Chain(start.layers, x, targets, rows)
    before = targets.loss(chain.network().forward(x), rows)
    np.testing.assert_allclose(chain.network().forward(x), start.forward(x), atol=1e-4)
    chain.measure()
    chain.step(np.ascontiguousarray(x.T), rows, 0.1, 0.0, 0.0)
    assert targets.loss(chain.network().forward(x), rows) < before


@pytest.mark.parametrize(
    ("n_rows", "rows"), [(1, 50), (1500, 50), (3000, 100), (6000, 200), (60_000, 200)]
)
def test_few_rows_make_small_batches(n_rows, rows):
    assert batch_size(n_rows) == rows


def test_only_layers_of_few_levels_are_refined_longer(rng):
    net = network(rng)

    def coded(bits):
        layers = [
            replace(r, weight=Quantize(bits=bits).project(r.weight.to_dense())) for r in net.layers
        ]
        return Network([*layers[:-1], net.layers[-1]])

    assert coded(4).layers[0].weight.codebook.size == COMPRESSION.few_levels
    assert times_longer(net, 5.0) == times_longer(coded(5), 5.0) == 1
    assert times_longer(coded(4), 5.0) == times_longer(coded(1), 5.0) == COMPRESSION.longer
    assert times_longer(coded(1), COMPRESSION.long / 1.25) == 1.25
    assert times_longer(coded(1), COMPRESSION.long) == 1


def test_supports_move_to_where_they_gain(rng):
    # The output depends on inputs 3 and 7; the support starts on 0 and 1.
    x = rng.standard_normal((800, 10)).astype(np.float32)
    goal = x[:, [3]] - 2 * x[:, [7]]
    weight = np.zeros((10, 1), np.float32)
    weight[[0, 1]] = 1e-3
    layer = Layer(SparseMatrix.from_dense(weight), np.zeros(1, np.float32), "identity")
    block = SparseBlock(layer, True, True)
    moments = Moments.of(x, goal[:, :0])
    block.move_support(x, goal, moments, 1.0)
    block.measure(moments)
    assert block.used_inputs() is None or set(block.used_inputs()) == {3, 7}
    assert block.weight().shape == (10, 1)
    assert np.count_nonzero(block.weight()) == 0
    for _ in range(200):
        u = block.forward(np.ascontiguousarray(x.T))
        block.step(np.ascontiguousarray(x.T), goal.T - u, 1.0, 0.7, 0.0)
    found = block.layer(False).weight.to_dense()
    assert set(np.flatnonzero(found)) == {3, 7}
    np.testing.assert_allclose(found[[3, 7], 0], [1, -2], atol=0.05)


def test_a_support_that_is_good_stays(rng):
    x = rng.standard_normal((800, 10)).astype(np.float32)
    weight = np.zeros((10, 1), np.float32)
    weight[[3, 7]] = [[1], [-2]]
    layer = Layer(SparseMatrix.from_dense(weight), np.zeros(1, np.float32), "identity")
    block = SparseBlock(layer, True, True)
    noise = 0.01 * rng.standard_normal((800, 1)).astype(np.float32)
    block.move_support(x, noise, Moments.of(x, noise[:, :0]), 1.0)
    np.testing.assert_array_equal(block.weight(), weight)


def targets_of(n, labelled=True, classify=True, **given):
    truth = np.eye(4)[np.arange(n) % 4]
    return Targets(truth, truth if labelled else None, classify, **given)


def test_labels_count_the_more_the_more_rows_there_are():
    assert targets_of(20_000).alpha == 0.1
    assert targets_of(5000).alpha == pytest.approx(0.5)
    assert targets_of(100).alpha == 0.9
    assert targets_of(20_000, labelled=False).alpha == 1
    assert targets_of(20_000, trust=0.2).alpha == 0.2
    assert targets_of(20_000, classify=False).alpha == 0.3


def test_smoothed_labels_want_no_certainty():
    """Their loss is least at the smoothed label, not at infinity."""
    targets, rows = targets_of(8, trust=0.0, smoothing=0.2), np.arange(8)
    wanted = np.where(targets.labels == 1, 0.85, 0.05)
    np.testing.assert_allclose(targets.pull(np.log(wanted), rows), 0, atol=1e-12)
    assert targets.loss(np.log(wanted), rows) < targets.loss(100 * targets.labels, rows)
    assert targets_of(20_000).spread == pytest.approx(10 * targets_of(1000).spread) == 0.03


class Losses(Targets):
    """Targets whose losses are those of a list."""

    def loss(self, u, rows):
        return u


class Stub:
    """A network whose loss is known."""

    def __init__(self, loss):
        self._loss = loss

    def forward(self, x):
        return self._loss


def test_the_judge_goes_back_to_the_least_loss(rng):
    x, rows = np.zeros((2, 1)), np.arange(2)
    nets = {loss: Stub(loss) for loss in (1.0, 0.8, 1.1, 1.3, 0.9)}
    labelled = Judge(Losses(x, x, False, trust=0.0), x, rows, nets[1.0])
    for loss in (0.8, 1.1):
        assert not labelled.diverged(labelled.see(nets[loss]))
        assert labelled.best is nets[loss]
    assert labelled.diverged(labelled.see(nets[1.3]))
    assert labelled.best is nets[0.8]
    labelled.see(nets[0.9])
    assert labelled.best is nets[0.9]
    assert labelled.diverged(np.nan)
    strict = Judge(Losses(x, x, False, trust=1.0), x, rows, nets[1.0])
    for loss in (1.1, 0.8, 0.9):
        strict.see(nets[loss])
    assert strict.best is nets[0.8]
    dropping = Judge(Losses(x, None, False), x, rows, nets[1.0], dropping=1.0)
    for loss in (0.8, 1.1):
        dropping.see(nets[loss])
    assert dropping.best is nets[1.1]


@pytest.mark.parametrize("classify", [True, False])
def test_the_start_itself_is_returned_where_nothing_is_better(rng, classify):
    net = network(rng)
    x = rng.standard_normal((300, 12)).astype(np.float32)
    targets = Targets(7 * net.forward(x), None, classify)
    far = RefineSettings(epochs=1, rate=1e9)
    assert refine(net, x, targets, far, np.random.RandomState(0)) is net


SCHEMES = [
    Prune(density=0.3),
    LowRank(rank=3),
    TensorTrain(rank=3),
    Quantize(bits=3),
    Quantize(method="ternary", per="column"),
    Prune(density=0.4) + Quantize(bits=3),
    LowRank(rank=3) + Quantize(bits=5),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("classify", [True, False])
def test_refinement_lowers_the_loss_and_keeps_the_format(rng, scheme, classify):
    net = network(rng)
    x = rng.standard_normal((3000, 12)).astype(np.float32)
    calibration = Calibration(net, x, None, classify)
    start = calibration.reconstruct([scheme, scheme, None]).network
    targets = Targets(net.forward(x), None, classify)
    found = refine(
        start, x, targets, RefineSettings(epochs=20, batch_size=50), np.random.RandomState(0)
    )
    fresh = np.random.default_rng(0).standard_normal((1000, 12)).astype(np.float32)
    judge = Targets(net.forward(fresh), None, classify)
    everything = np.arange(1000)
    entropy = judge.loss(net.forward(fresh), everything)
    losses = [judge.loss(n.forward(fresh), everything) - entropy for n in (found, start)]
    # Codes that fit this well leave little to refine, and the judge's rows are others.
    bound = 0.95
    if "Quantize" in str(scheme):
        bound = 1.03
    assert losses[0] < bound * losses[1]
    for before, after in zip(start.layers, found.layers, strict=True):
        assert type(before.weight) is type(after.weight)
        assert before.weight.n_params == after.weight.n_params
        assert before.weight.dtype == after.weight.dtype
        if isinstance(after.weight, CodebookMatrix | CodebookSparseMatrix):
            assert (np.diff(after.weight.codebook) >= 0).all()
            assert after.weight.n_bits <= before.weight.n_bits


def test_steps_that_are_too_long_are_shortened(rng):
    net = network(rng)
    x = rng.standard_normal((2000, 12)).astype(np.float32)
    start = Calibration(net, x, None, True).reconstruct([Prune(density=0.3)] * 2 + [None]).network
    targets = Targets(net.forward(x), None, True)
    course = RefineSettings(epochs=10, batch_size=50, rate=300.0)
    found = refine(start, x, targets, course, np.random.RandomState(0))
    everything = np.arange(2000)
    assert targets.loss(found.forward(x), everything) <= targets.loss(start.forward(x), everything)


def test_an_interruption_carries_the_best_network(rng, monkeypatch):
    net = network(rng)
    x = rng.standard_normal((500, 12)).astype(np.float32)
    original, calls = Chain.step, []

    def interrupt(chain, *args):
        calls.append(1)
        if len(calls) == 60:
            raise KeyboardInterrupt
        return original(chain, *args)

    monkeypatch.setattr(Chain, "step", interrupt)
    start = Calibration(net, x, None, True).reconstruct([Prune(density=0.3)] * 2 + [None]).network
    targets = Targets(net.forward(x), None, True)
    with pytest.raises(Interrupted) as raised:
        refine(
            start, x, targets, RefineSettings(epochs=40, batch_size=50), np.random.RandomState(0)
        )
    best = raised.value.best
    everything = np.arange(500)
    assert targets.loss(best.forward(x), everything) < targets.loss(start.forward(x), everything)


# ------------------------------------------------------------------ neurons of unequal scale


def _lopsided(rng, activation="relu", c=2.0**9):
    """Return a small network, and the same with one neuron of tiny inputs and huge outputs."""
    first, second = rng.standard_normal((6, 5)), rng.standard_normal((5, 3))
    intercept = rng.standard_normal(5)
    factor = np.array([1, 1, 1 / c, 1, 1])

    def network(f):
        return Network([
            Layer(SparseMatrix.from_dense(first * f), intercept * f, activation),
            Layer(DenseMatrix(second / f[:, None]), np.zeros(3), "identity"),
        ])  # fmt: skip

    return network(np.ones(5)), network(factor)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "identity"])
def test_balancing_changes_no_bit_of_the_outputs_and_evens_the_scales(activation):
    rng = np.random.default_rng(0)
    even, lopsided = _lopsided(rng, activation)
    x = rng.standard_normal((50, 6))
    found = balanced(lopsided)
    np.testing.assert_array_equal(found.forward(x), lopsided.forward(x))
    for layer, wanted in zip(found.layers, even.layers, strict=True):
        ratio = np.abs(layer.weight.to_dense() / wanted.weight.to_dense())
        assert 0.25 <= ratio.min() <= ratio.max() <= 4.0
    assert balanced(even).layers[0].weight is even.layers[0].weight


def test_balancing_leaves_activations_alone_that_do_not_commute_with_factors():
    _, lopsided = _lopsided(np.random.default_rng(0), "hard_tanh")
    assert balanced(lopsided).layers[0] is lopsided.layers[0]


def test_balancing_leaves_dead_neurons_alone():
    weight = np.array([[1.0, 0.0], [2.0, 0.0]])
    network = Network([
        Layer(DenseMatrix(weight), np.zeros(2), "relu"),
        Layer(DenseMatrix(np.ones((2, 1))), np.zeros(1), "identity"),
    ])  # fmt: skip
    np.testing.assert_array_equal(balanced(network).layers[0].weight.to_dense(), weight)


def test_steps_that_are_far_too_long_are_taken_back_at_once_and_cost_no_course():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 6)).astype(np.float32)
    goal, _ = _lopsided(rng)
    outputs = goal.forward(x).astype(np.float32)
    labels = np.eye(3, dtype=np.float32)[outputs.argmax(axis=1)]
    targets = Targets(outputs, labels, True)
    start = Network([
        replace(layer, weight=layer.weight.scaled(0.7)) for layer in goal.layers
    ])  # fmt: skip
    course = RefineSettings(epochs=20, rate=1e4)
    found = refine(start, x, targets, course, np.random.RandomState(0))
    rows = np.arange(len(x))
    assert targets.loss(found.forward(x), rows) < targets.loss(start.forward(x), rows)


# ------------------------------------------------------------------ supports that shrink


def descending(rng, density=0.1, denser=0.4):
    """Return rows, targets with labels, a network of few weights, and one of more."""
    net = network(rng)
    x = rng.standard_normal((1200, 12)).astype(np.float32)
    outputs = net.forward(x)
    targets = Targets(outputs, np.eye(4, dtype=np.float32)[outputs.argmax(axis=1)], True)
    calibration = Calibration(net, x, None, True)
    few, many = (
        calibration.reconstruct([Prune(density=share)] * 2 + [None]).network
        for share in (density, denser)
    )
    return x, targets, few, many


def stored(net):
    return [layer.weight.n_params for layer in net.layers[:-1]]


@pytest.mark.parametrize("together", [False, True])
def test_a_descent_begins_at_its_start_and_ends_at_what_is_wanted(rng, together):
    _, _, few, many = descending(rng)
    first, last = ([sum(n)] if together else n for n in (stored(many), stored(few)))
    descent = Descent(many, tuple(last))
    way = [descent.at(spent) for spent in (0.0, 0.2, 0.5, 1.0, 1.3)]
    assert list(way[0]) == first
    assert list(way[3]) == list(way[4]) == last
    assert all(a > b for a, b in zip(way[0], way[1], strict=True))
    assert all(a > b > c for a, b, c in zip(way[1], way[2], way[3], strict=True))


def test_survivors_are_those_that_cost_most():
    costs = [np.array([3.0, 1.0, 5.0]), np.array([4.0, 0.5])]
    apart = survivors(costs, [1, 2])
    assert [list(stays) for stays in apart] == [[False, False, True], [True, True]]
    together = survivors(costs, [3])
    assert [list(stays) for stays in together] == [[True, False, True], [True, False]]


@pytest.mark.parametrize("together", [False, True])
def test_a_descent_ends_with_the_wanted_weights_and_a_smaller_loss(rng, together):
    x, targets, few, many = descending(rng)
    wanted = stored(few)
    left = (sum(wanted),) if together else tuple(wanted)
    course = RefineSettings(epochs=40, batch_size=50)
    random_states = (np.random.RandomState(seed) for seed in (0, 0))
    plain = refine(few, x, targets, course, next(random_states))
    found = refine(few, x, targets, course, next(random_states), None, Descent(many, left))
    rows = np.arange(len(x))
    assert targets.loss(found.forward(x), rows) < targets.loss(plain.forward(x), rows)
    assert sum(stored(found)) <= sum(wanted)
    if not together:
        assert all(a <= b for a, b in zip(stored(found), wanted, strict=True))


@pytest.mark.parametrize("rate", [50.0, 1e4])
def test_a_descent_with_steps_that_are_too_long_keeps_its_word(rng, rate):
    x, targets, few, many = descending(rng)
    course = RefineSettings(epochs=40, batch_size=50, rate=rate)
    descent = Descent(many, (sum(stored(few)),))
    found = refine(few, x, targets, course, np.random.RandomState(0), None, descent)
    rows = np.arange(len(x))
    assert targets.loss(found.forward(x), rows) <= targets.loss(few.forward(x), rows)
    assert sum(stored(found)) <= sum(stored(few))


def test_a_descent_that_is_too_fast_begins_again_with_half_of_its_steps(rng, monkeypatch):
    x, targets, few, many = descending(rng)
    begun, restart = [], Chain.restart

    def noted(chain, layers):
        begun.append(sum(stored(Network(layers))))
        restart(chain, layers)

    monkeypatch.setattr(Chain, "restart", noted)
    course = RefineSettings(epochs=40, batch_size=50, rate=1e4)
    descent = Descent(many, (sum(stored(few)),))
    refine(few, x, targets, course, np.random.RandomState(0), None, descent)
    assert begun[: DEFAULTS.descents + 1] == [sum(stored(many))] * DEFAULTS.descents + [
        sum(stored(few))
    ]


def test_inputs_whose_squares_overflow_are_not_measured(rng):
    net = network(rng)
    x = rng.standard_normal((500, 12)).astype(np.float32)
    chain = Chain(net.layers, x, Targets(net.forward(x), None, True), np.arange(500))
    assert chain.measure()
    big, small = np.float32(1e25), np.float32(1e-25)
    first, second = net.layers[:2]
    chain.restart([
        replace(first, weight=first.weight.scaled(big)),
        replace(second, weight=second.weight.scaled(small)),
        *net.layers[2:],
    ])  # fmt: skip
    with np.errstate(over="ignore", invalid="ignore"):
        assert not chain.measure()


def test_a_short_course_has_no_descent(rng):
    x, targets, few, many = descending(rng)
    course, descent = RefineSettings(epochs=2), Descent(many, (sum(stored(few)),))
    with_it = refine(few, x, targets, course, np.random.RandomState(0), None, descent)
    without = refine(few, x, targets, course, np.random.RandomState(0))
    np.testing.assert_array_equal(with_it.forward(x), without.forward(x))


def test_an_interrupted_descent_returns_few_weights(rng):
    x, targets, few, many = descending(rng)

    def tell(done, total, loss):
        if done == total // 4:
            raise KeyboardInterrupt

    course, descent = RefineSettings(epochs=40, batch_size=50), Descent(many, (sum(stored(few)),))
    with pytest.raises(Interrupted) as raised:
        refine(few, x, targets, course, np.random.RandomState(0), tell, descent)
    assert raised.value.best is few


def learned(rng, sizes):
    """Return a network of scikit-learn's, and the rows and labels that it knows."""
    x = rng.standard_normal((1000, 12))
    y = (x[:, :4] @ rng.standard_normal((4, 3))).argmax(axis=1)
    with pytest.warns(ConvergenceWarning):
        return MLPClassifier(sizes, max_iter=20, random_state=0).fit(x, y), x, y


@pytest.mark.parametrize("allocation", ["global", "uniform"])
def test_compress_descends_to_the_weights_asked_for(rng, allocation):
    model, x, y = learned(rng, (20, 15))
    scheme = Prune(density=0.1)
    few = compress(model, x, scheme=scheme, epochs=0, allocation=allocation)
    found = compress(model, x, y, scheme=scheme, epochs=110, allocation=allocation, random_state=0)
    assert sum(stored(found.network_)) <= 54
    if allocation == "uniform":
        assert np.all(np.array(stored(found.network_)) <= [24, 30])
    assert found.score(x, y) > few.score(x, y)


@pytest.mark.parametrize("apart", [False, True])
def test_the_dense_network_is_imitated_where_rows_that_it_knows_are_judged_on(
    rng, monkeypatch, apart
):
    model, x, y = learned(rng, (20, 15))
    wanted = []

    def refined(network, x, targets, *rest):
        wanted.append((targets.alpha, targets.spread))
        return refine(network, x, targets, *rest)

    monkeypatch.setattr(job, "refine", refined)
    judges = (x, y) if apart else None
    compress(model, x, y, max_score_drop=0.3, epochs=1, random_state=0, validation_data=judges)
    assert wanted
    assert all((spread > 0) == apart for _, spread in wanted)
    assert all(alpha == pytest.approx(0.9, abs=0.05) for alpha, _ in wanted)


CODED = {"max_bytes": 1000}, {"scheme": Prune(density=0.1) + Quantize(bits=3)}


@pytest.mark.parametrize("budget", CODED, ids=["bytes", "scheme"])
def test_pruned_and_quantised_layers_descend_without_codes_and_end_with_them(
    rng, monkeypatch, budget
):
    model, x, y = learned(rng, (40, 30))
    starts = []

    def refined(network, x, targets, course, random_state, tell, descent):
        starts.append((network, descent))
        return refine(network, x, targets, course, random_state, tell, descent)

    monkeypatch.setattr(job, "refine", refined)
    few = compress(model, x, epochs=0, random_state=0, **budget)
    found = compress(model, x, y, epochs=110, random_state=0, **budget)
    (_, way), (settled, none) = starts
    assert none is None
    assert sum(stored(way.start)) > sum(way.left)
    for layer in settled.layers[:-1]:
        assert isinstance(layer.weight, CodebookSparseMatrix)
    for before, after in zip(settled.layers, found.network_.layers, strict=True):
        assert type(before.weight) is type(after.weight)
    if "max_bytes" in budget:
        assert found.network_.n_bytes <= 1000
    else:
        kept = [layer.weight.codes.size for layer in found.network_.layers[:-1]]
        assert sum(kept) <= round(0.1 * (12 * 40 + 40 * 30))
    assert found.score(x, y) > few.score(x, y)


def test_weights_are_trimmed_until_the_bytes_with_codes_are_met(rng):
    x, targets, _, many = descending(rng)
    schemes = [Prune(n_nonzero=9) + Quantize(bits=2), Prune(n_nonzero=9), None]
    dense = np.concatenate([layer.weight.to_dense().ravel() for layer in many.layers])
    fixed, free = bytes_of(many, schemes)
    task = SimpleNamespace(
        settings=COMPRESSION,
        targets=lambda front, n_inputs: (x, targets),
        encoding=None,
        encoding_bytes=lambda network, schemes: 0,
    )
    bound = sum(fixed) + sum(free) // 2
    fewer = trimmed(task, many, schemes, bound)
    assert sum(map(sum, bytes_of(fewer, schemes))) <= bound
    assert 0.4 * sum(stored(many)) < sum(stored(fewer)) < sum(stored(many))
    kept = np.concatenate([layer.weight.to_dense().ravel() for layer in fewer.layers])
    assert np.isin(np.round(kept, 5), np.round(dense, 5)).all()


def test_a_layer_a_little_wider_than_a_byte_is_narrowed(rng):
    first = rng.standard_normal((5, 300)).astype(np.float32)
    second = rng.standard_normal((300, 2)).astype(np.float32)
    weak = rng.permutation(300)[:44]
    first[:, weak] *= 1e-3

    def narrow(width):
        layers = [
            Layer(SparseMatrix.from_dense(first[:, :width]), np.zeros(width, "f4"), "relu"),
            Layer(DenseMatrix(second[:width]), np.zeros(2, np.float32), "identity"),
        ]
        return narrowed(Network(layers)).layers[0].weight.to_dense()

    assert set(np.flatnonzero(~narrow(300).any(axis=0))) == set(weak)
    np.testing.assert_array_equal(narrow(256), first[:, :256])


def test_only_few_weights_per_output_start_as_more():
    shapes = [(100, 30), (30, 20), (20, 5)]
    at_bound = [
        Prune(n_nonzero=40 * COMPRESSION.many),
        Prune(n_nonzero=10 * COMPRESSION.many),
        None,
    ]
    above = [
        Prune(n_nonzero=40 * COMPRESSION.many),
        Prune(n_nonzero=10 * COMPRESSION.many + 1),
        None,
    ]
    assert not are_many(at_bound, shapes)
    assert are_many(above, shapes)
    assert are_many([Prune(density=0.5), None, None], shapes)
    assert not are_many([Prune(density=0.5) + Quantize(bits=4), None, None], shapes)
    assert not are_many([LowRank(rank=2), None, None], shapes)


def test_denser_schemes_keep_more_of_what_is_pruned_freely():
    shapes = [(20, 10), (10, 10), (10, 3)]
    more, left = denser([Prune(density=0.1), Prune(n_nonzero=40), None], shapes)
    assert left == [20, 40]
    assert [scheme and scheme.n_nonzero for scheme in more] == [80, 50, None]
    assert denser([Prune(density=0.6), Prune(n_nonzero=60), None], shapes) is None
    assert denser([None, None, None], shapes) is None
    assert denser([Prune(density=0.1), Prune(structure="2:4"), None], shapes) is None
    assert denser([LowRank(rank=2), Quantize(bits=2), None], shapes) is None
    schemes = [Prune(density=0.1) + Quantize(bits=4), LowRank(rank=2), Quantize(bits=2)]
    more, left = denser(schemes, shapes)
    assert left == [20]
    assert more[0].n_nonzero == 80
    assert more[1:] == [schemes[1], None]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("with_labels", [False, True])
def test_a_refinement_keeps_patterns_and_blocks(with_labels):
    x, y = load_digits(return_X_y=True)
    mlp = MLPClassifier((24, 16), max_iter=40, random_state=0).fit(x, y)
    schemes = {0: Prune(structure="2:4"), 1: Prune(sparsity=0.75, structure="4x4")}
    small = compress(mlp, x, y if with_labels else None, scheme=schemes, random_state=0)
    first, second, _ = (layer.weight.to_dense() != 0 for layer in small.network_.layers)
    assert (first.shape, second.shape) == ((64, 24), (24, 16))  # dead ones too
    assert first.reshape(16, 4, 24).sum(axis=1).max() == 2
    blocks = second.reshape(6, 4, 4, 4).sum(axis=(1, 3))
    assert set(np.unique(blocks)) <= {0, 16}
    assert np.count_nonzero(blocks) == 6
