"""Convolutions and poolings: kernels against loops, views as linear maps, solvers' theorems."""

from __future__ import annotations

import math
import pickle
import warnings

import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import fastbcd
from fastbcd import BCDClassifier, BCDRegressor, compress
from fastbcd.layers import AveragePool2D, Conv2D, MaxPool2D
from fastbcd.network.layers import patch_step as cg
from fastbcd.network.layers import patches as views
from fastbcd.network.layers.activations import ACTIVATIONS
from fastbcd.network.layers.architecture import Architecture, check_layers
from fastbcd.network.layers.patches import WHOLE_ROW, Patches
from fastbcd.network.layers.pooled import MaxPooled
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.network.losses.losses import LOSSES
from fastbcd.objective.subgradient import subgradient
from fastbcd.objective.terms import Penalties, Problem, objective
from fastbcd.schemes import LowRank, Prune, Quantize, TensorTrain
from fastbcd.solvers import FullSolver

NETWORKS = {
    "one": (Conv2D(4, 3), 6),
    "padded, strided": (Conv2D(3, (3, 2), stride=(2, 1), padding=1), 5),
    "maxima": (Conv2D(3, 3, padding="same"), MaxPool2D(2), 5),
    "means": (AveragePool2D(2), Conv2D(3, 2), AveragePool2D((2, 1)), 5),
    "stacked": (Conv2D(3, 3), MaxPool2D((1, 2)), Conv2D(4, 2), 5),
    "no dense layer": (Conv2D(6, 3, stride=2), Conv2D(6, 2)),
}
SHAPE = (7, 6, 2)

each_network = pytest.mark.parametrize("name", NETWORKS)


@st.composite
def geometries(draw):
    """Views of images that fit them."""
    h, w, c = (draw(st.integers(1, n)) for n in (9, 8, 3))
    window = draw(st.integers(1, min(h, 2))), draw(st.integers(1, min(w, 3)))
    pooled = h // window[0], w // window[1]
    kernel = tuple(draw(st.integers(1, n)) for n in pooled)
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    padding = tuple(draw(st.integers(0, k - 1)) for k in kernel)
    return Patches((h, w, c), kernel, stride, padding, window)


def images_of(view, n=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, math.prod(view.shape))).astype(dtype)


def data(n=24, seed=0, classes=3, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, math.prod(SHAPE))).astype(dtype), rng.integers(classes, size=n)


def patterns(n, dtype=np.float64):
    """Noisy images, half of them with a bright patch somewhere."""
    rng = np.random.default_rng(0)
    images = 0.3 * rng.standard_normal((n, *SHAPE))
    y = rng.integers(0, 2, n)
    for i in np.flatnonzero(y):
        a, b = rng.integers(0, SHAPE[0] - 2), rng.integers(0, SHAPE[1] - 2)
        images[i, a : a + 3, b : b + 3, 0] += 2
    return images.reshape(n, -1).astype(dtype), y


# Kernels and views


@given(view=geometries(), dtype=st.sampled_from([np.float32, np.float64]))
@settings(max_examples=80, deadline=None)
def test_patches_are_those_cut_out_one_by_one(view, dtype):
    v = images_of(view, dtype=dtype)
    pooled = reference.windows(v.reshape(-1, *view.shape), view.window).mean(axis=3)
    expected = reference.patches(pooled, view.kernel, view.stride, view.padding)
    found = view.rows(v).reshape(len(v), view.positions, -1)
    assert found.dtype == dtype
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@given(view=geometries())
@settings(max_examples=60, deadline=None)
def test_fold_is_the_adjoint_of_rows(view):
    v = images_of(view)
    rows = np.random.default_rng(1).standard_normal((3 * view.positions, view.width))
    assert_allclose(np.vdot(view.rows(v), rows), np.vdot(v, view.fold(rows)), rtol=1e-10, atol=1e-9)


@given(view=geometries(), weighted=st.booleans())
@settings(max_examples=40, deadline=None)
def test_products_through_a_view_are_those_with_the_patch_matrix(view, weighted):
    n, m = 5, 3
    v, rng = images_of(view, n), np.random.default_rng(2)
    weight, bias = rng.standard_normal((view.width, m)), rng.standard_normal(m)
    u = rng.standard_normal((n, view.positions * m))
    sample = rng.integers(1, 4, n).astype(float) if weighted else None
    rows, by_patch = view.rows(v), u.reshape(-1, m)
    ones = np.column_stack([rows, np.ones(len(rows))])
    scaled = ones if sample is None else ones * np.repeat(sample, view.positions)[:, None]
    # So few numbers at once that the images come in several parts.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "CHUNK", 2 * view.positions * view.width)
        z = view.linear(v, weight, bias, np.empty_like(u))
        rest = view.subtract_product(v, weight, u.copy())
        gram, cross = view.gram(v, sample), view.cross(v, u, sample)
        back = view.pull_back(u, weight)
    assert_allclose(z.reshape(-1, m), rows @ weight + bias, rtol=1e-9, atol=1e-9)
    assert_allclose(rest.reshape(-1, m), by_patch - rows @ weight, rtol=1e-9, atol=1e-9)
    assert_allclose(np.tril(gram), np.tril(scaled.T @ ones), rtol=1e-9, atol=1e-9)
    assert_allclose(cross, scaled.T @ by_patch, rtol=1e-9, atol=1e-9)
    assert_allclose(back, view.fold(by_patch @ weight.T), rtol=1e-9, atol=1e-9)


@given(view=geometries(), ratio=st.sampled_from([0.1, 1.0, 30.0]))
@settings(max_examples=40, deadline=None)
def test_the_activation_step_minimises_its_block(view, ratio):
    n, m = 3, 2
    rng = np.random.default_rng(3)
    s, old = images_of(view, n), images_of(view, n, 1)
    weight = rng.standard_normal((view.width, m))
    goal = rng.standard_normal((n, view.positions * m))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cg, "ACCURACY", 1e-9)
        patch.setattr(cg, "MOST_STEPS", 500)
        new, miss = s.copy(), np.empty_like(goal)
        view.solve_activation(new, goal.copy(), old, weight, ratio, miss)
    # ratio (V - s) + A'((A(V) W - goal) W') = 0
    linear = view.linear(new, weight, np.zeros(m), np.empty_like(goal))
    assert_allclose(miss, goal - linear, rtol=1e-9, atol=1e-9)
    slope = ratio * (new - s) - view.pull_back(miss, weight)
    assert np.abs(slope).max() < 1e-6 * (1 + np.abs(goal).max() * np.abs(weight).max())


@given(
    shape=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 3)),
    window=st.tuples(st.integers(1, 3), st.integers(1, 3)),
)
@settings(max_examples=60, deadline=None)
def test_max_pool_and_its_way_back(shape, window):
    window = min(window[0], shape[0]), min(window[1], shape[1])
    pool = MaxPool(shape, window)
    u = np.random.default_rng(0).standard_normal((4, math.prod(shape)))
    found = pool.forward(u)
    cut = reference.windows(u.reshape(-1, *shape), window)
    assert_array_equal(found, cut.max(axis=3).reshape(4, -1))
    d = np.random.default_rng(1).standard_normal(found.shape)
    back = pool.back(d, u)
    # A step along ``back`` changes the maxima by d: the derivative of the maximum.
    h = 1e-7
    moved = (pool.forward(u + h * back) - found) / h
    assert_allclose(moved, d, rtol=1e-5, atol=1e-5)
    assert np.count_nonzero(back) == d.size


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "hard_tanh", "identity"])
@pytest.mark.parametrize("window", [(1, 1), (2, 2), (3, 1)])
def test_the_step_through_a_maximum_minimises_its_block(activation, window):
    rng = np.random.default_rng(0)
    pool = MaxPool((5, 4, 2), window)
    sigma = MaxPooled(ACTIVATIONS[activation], pool)
    n = 4
    u, z = rng.standard_normal((2, n, pool.n_in)) * 1.5
    v = rng.standard_normal((n, pool.n_out))
    rho, gamma, alpha = 0.7, 1.9, 0.4
    c = (rho * z + alpha * u) / (rho + alpha)
    new = u.copy()
    weight = rng.uniform(0.5, 2, n)
    miss = u - z
    gap, step = sigma.step(new, miss, v, (rho, gamma, alpha), weight)
    assert_allclose(miss, new - z, rtol=1e-12, atol=1e-12)
    value = sigma.value(new)
    assert_allclose(gap, weight @ np.sum((v - value) ** 2, axis=1), rtol=1e-9)
    assert_allclose(step, weight @ np.sum((new - u) ** 2, axis=1), rtol=1e-9)

    def cut(a):
        return reference.windows(a.reshape(n, *pool.shape), window)

    g = (rho + alpha) / gamma
    found, centres = cut(new), cut(c)
    targets = v.reshape(found.shape[0], found.shape[1], found.shape[2], -1)
    plain = ACTIVATIONS[activation].value
    for i, y, x, k in np.ndindex(targets.shape):
        here, centre = found[i, y, x, :, k], centres[i, y, x, :, k].copy()
        cost = reference.max_pool_cost(here, centre, targets[i, y, x, k], plain, g)
        best = reference.best_max_pool_cost(centre, targets[i, y, x, k], plain, g, n_grid=401)
        assert cost <= best + 1e-9
    outside = np.ones(pool.shape, bool)
    outside[: 5 // window[0] * window[0], : 4 // window[1] * window[1]] = False
    assert_allclose(new[:, outside.ravel()], c[:, outside.ravel()], rtol=1e-12)


# The full solver


def problem_of(name, loss="cross_entropy", scheme=None, seed=0, activation="relu", weighted=True):
    x, y = data(seed=seed)
    rng = np.random.default_rng(seed)
    targets = rng.standard_normal((len(x), 3)) if loss == "squared" else np.eye(3)[y]
    layout = Architecture.of(check_layers(NETWORKS[name]), x.shape[1], 3, SHAPE)
    hidden = ACTIVATIONS[activation]
    activations = [hidden if p is None else MaxPooled(hidden, p) for p in layout.pools[:-1]]
    problem = Problem(
        x,
        targets,
        rng.uniform(0.3, 2, len(x)) if weighted else np.ones(len(x)),
        LOSSES[loss],
        [*activations, ACTIVATIONS["identity"]],
        layout.views,
        [scheme] * (len(layout.shapes) - 1) + [None],
        Penalties(*(10 ** rng.uniform(-0.7, 0.7, 4))),
    )
    weights = [0.4 * rng.standard_normal(shape) for shape in layout.shapes]
    return problem, weights, [np.zeros(m) for _, m in layout.shapes]


def sweep(start, n_sweeps, **options):
    solver = FullSolver(**options)
    state = solver.init(*start)
    for _ in range(n_sweeps):
        solver.step(start[0], state)
    return state


@each_network
@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5), LowRank(rank=2)], ids=str)
def test_no_block_raises_the_objective_and_each_gains_its_modulus_times_the_squared_step(
    name, loss, scheme
):
    for seed, activation in enumerate(["relu", "leaky_relu", "hard_tanh"]):
        start = problem_of(name, loss, scheme, seed, activation)
        record = sweep(start, 5, certificate=True).record
        scale = record.objective[0]
        for step in (step for steps in record.block_steps for step in steps):
            assert step.decrease >= step.guaranteed - 1e-11 * scale, (activation, step)
        assert np.all(record.decreases >= -1e-11 * scale)


@each_network
def test_the_objective_kept_up_to_date_is_the_one_computed_from_scratch(name):
    start = problem_of(name)
    state = sweep(start, 4)
    scratch, kept = objective(start[0], state.blocks), state.record.terms[-1]
    assert_allclose(kept.linear, scratch.linear, rtol=1e-9)
    assert_allclose(kept.activation, scratch.activation, rtol=1e-9, atol=1e-12)


@each_network
def test_the_subgradient_is_the_derivative_where_there_is_one(name):
    problem, weights, intercepts = problem_of(name)
    blocks = sweep((problem, weights, intercepts), 2).blocks
    names = {"activation": "act", "pre-activation": "pre", "weight": "weight"}
    rng = np.random.default_rng(0)
    for kind, layer, gradient in subgradient(problem, blocks):
        if kind not in names:
            continue
        array = getattr(blocks[layer], names[kind])
        for _ in range(5):
            index = tuple(rng.integers(0, size) for size in array.shape)
            if kind == "pre-activation" and abs(array[index]) < 1e-4:
                continue  # at a kink there is no derivative
            before, values = array[index], []
            for h in (1e-6, -1e-6):
                array[index] = before + h
                values.append(objective(problem, blocks).total)
                array[index] = before
            assert_allclose(gradient[index], (values[0] - values[1]) / 2e-6, rtol=1e-4, atol=1e-5)


def test_the_rate_of_the_theory_holds_with_convolutions():
    record = sweep(problem_of("stacked", weighted=False), 60, certificate=True).record
    squared = np.square(record.subgradient_norm)
    rate = np.arange(1, len(squared) + 1) * np.minimum.accumulate(squared)
    assert rate[-1] <= rate[:10].max()


def test_a_kernel_as_large_as_the_image_is_a_dense_layer():
    start = problem_of("one")
    problem, _, _ = start
    rng = np.random.default_rng(5)
    weights = [rng.standard_normal((problem.x.shape[1], 4)) / 9, rng.standard_normal((4, 3))]
    intercepts = [np.zeros(4), np.zeros(3)]
    courses = []
    for view in (WHOLE_ROW, Patches(SHAPE, SHAPE[:2])):
        same = Problem(
            problem.x, problem.y, problem.sample_weight, problem.loss,
            [ACTIVATIONS["relu"], ACTIVATIONS["identity"]], [view, WHOLE_ROW],
            [None, None], problem.penalties,
        )  # fmt: skip
        courses.append(sweep((same, weights, intercepts), 8).record.objective)
    assert_allclose(*courses, rtol=1e-8)


def test_weights_of_images_are_repetitions():
    x, y = data(12)
    times = np.random.default_rng(0).integers(1, 3, 12)
    given = {"input_shape": SHAPE, "solver": "full", "max_iter": 10, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        x = x * np.sqrt(len(x) / np.sum(x**2))  # alike in both fits
        weighted = BCDClassifier(NETWORKS["maxima"], **given).fit(x, y, sample_weight=times)
        twice = np.repeat(x, times, axis=0)
        repeated = BCDClassifier(NETWORKS["maxima"], **given).fit(twice, np.repeat(y, times))
    # The scale of the inputs is measured without weights, so the courses are only close.
    assert_allclose(weighted.predict_proba(x), repeated.predict_proba(x), atol=0.05)


# Mini-batches


def test_mini_batches_take_a_kernel_as_large_as_the_image_for_a_dense_layer():
    x, y = data(200)
    fitted = [
        BCDClassifier(hidden, input_shape=SHAPE, solver="minibatch", max_iter=5, random_state=0)
        .fit(x, y)
        .predict_proba(x)
        for hidden in ((8, 5), (Conv2D(8, SHAPE[:2]), 5))
    ]
    assert_allclose(*fitted, rtol=1e-6, atol=1e-8)


@each_network
@pytest.mark.parametrize("solver", ["full", "minibatch"])
def test_a_pattern_anywhere_in_the_image_is_learnt(name, solver):
    x, y = patterns(300)
    clf = BCDClassifier(
        NETWORKS[name], input_shape=SHAPE, solver=solver, random_state=0, max_iter=60
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(x[:200], y[:200])
    assert clf.score(x[200:], y[200:]) > 0.9


def test_a_layer_of_many_inputs_is_solved_against_the_batch():
    from fastbcd.solvers.minibatch import state as _state
    from fastbcd.solvers.minibatch.step import wide_step

    rng = np.random.default_rng(0)
    v, change = rng.standard_normal((20, 6)) + 1, rng.standard_normal((20, 4))
    weight = rng.standard_normal((6, 4))
    layer = _state.LayerState.start(weight, np.zeros(4), None, first=False, wide=True)
    assert layer.gram.size == layer.inverse.size == 0

    centred = v - v.mean(axis=0)
    step, size = wide_step(None, layer, centred, change, 0.5, np.empty((6, 4)))
    gram = centred.T @ centred / 20
    ridge = 0.5 * np.sum(gram**2) / np.trace(gram) + 1e-6 * np.trace(gram) + 1e-12
    expected = np.linalg.solve(gram + ridge * np.eye(6), centred.T @ change / 20)
    assert_allclose(step, expected, rtol=1e-8)
    assert_allclose(size, np.linalg.norm(expected) / np.linalg.norm(layer.weight))


def test_streams_warm_starts_and_memory_maps_of_images(tmp_path):
    x, y = data(400)
    y = (x[:, :12].sum(axis=1) > 0).astype(int)
    clf = BCDClassifier(NETWORKS["maxima"], input_shape=SHAPE, random_state=0)
    for lo in range(0, 400, 80):
        clf.partial_fit(x[lo : lo + 80], y[lo : lo + 80], classes=[0, 1])
    assert clf.network_.forward(x).shape == (400, 2)
    path = tmp_path / "x.npy"
    np.save(path, x)
    mapped = clone(clf).set_params(solver="minibatch", max_iter=10)
    mapped.fit(np.load(path, mmap_mode="r"), y)
    before = mapped.score(x, y)
    mapped.set_params(warm_start=True).fit(x, y)
    assert mapped.score(x, y) >= before - 0.05
    with pytest.raises(ValueError, match="warm_start"):
        mapped.set_params(hidden_layer_sizes=NETWORKS["one"]).fit(x, y)


# Estimators, files, compression


@pytest.fixture(scope="module")
def fitted():
    x, y = patterns(400, np.float32)
    hidden = (Conv2D(8, 3), MaxPool2D((1, 2)), Conv2D(8, 2), 16)
    clf = BCDClassifier(hidden, input_shape=SHAPE, solver="minibatch", max_iter=30, random_state=0)
    return clf.fit(x, y), x, y


def test_the_forward_pass_is_that_of_the_layers(fitted):
    clf, x, _ = fitted
    v = x
    for layer in clf.network_.layers:
        v = layer.forward(v)
    outputs = clf.network_.forward(x)
    assert outputs.dtype == np.float32
    assert_allclose(outputs, v, rtol=1e-5, atol=1e-6)
    one_by_one = np.vstack([clf.network_.forward(row[None]) for row in x[:9]])
    assert_allclose(one_by_one, outputs[:9], rtol=1e-4, atol=1e-5)


def test_the_forward_pass_is_that_of_torch(fitted):
    torch = pytest.importorskip("torch", reason="PyTorch says what a convolution is")
    clf, x, _ = fitted
    f = torch.nn.functional
    first, second, dense, last = clf.network_.layers
    v = torch.from_numpy(x).reshape(-1, *SHAPE).permute(0, 3, 1, 2)
    for layer in (first, second):
        kernel, channels = layer.view.kernel, layer.view.shape[2]
        weight = torch.from_numpy(layer.weight.to_dense()).reshape(*kernel, channels, -1)
        v = f.conv2d(v, weight.permute(3, 2, 0, 1), torch.from_numpy(layer.intercept)).relu()
        if layer.pool is not None:
            v = f.max_pool2d(v, layer.pool.window)
    v = v.permute(0, 2, 3, 1).reshape(len(x), -1)
    v = (v @ torch.from_numpy(dense.weight.to_dense()) + torch.from_numpy(dense.intercept)).relu()
    v = v @ torch.from_numpy(last.weight.to_dense()) + torch.from_numpy(last.intercept)
    assert_allclose(clf.network_.forward(x), v.numpy(), rtol=1e-4, atol=1e-5)


def test_files_pickles_and_clones_of_images(fitted, tmp_path):
    clf, x, _ = fitted
    clf.save(tmp_path / "net.safetensors")
    loaded = fastbcd.load(tmp_path / "net.safetensors")
    assert loaded.get_params() == clf.get_params()
    assert loaded.n_features_in_ == x.shape[1]
    assert_array_equal(loaded.predict_proba(x), clf.predict_proba(x))
    assert_array_equal(pickle.loads(pickle.dumps(clf)).predict(x), clf.predict(x))
    assert clone(clf).get_params() == clf.get_params()


def test_a_file_with_impossible_images_is_refused(fitted):
    from fastbcd.io.codecs.container import DamagedError
    from fastbcd.io.storage import network as stored

    arrays, described = stored.describe(fitted[0].network_)
    changes = [
        ("patches", 0, [9, 6, 2]),
        ("patches", 0, [1 << 20, 1 << 20, 1 << 20]),
        ("patches", 1, [0, 3]),
        ("patches", 1, [3]),
        ("patches", 2, [0, 1]),
        ("patches", 3, [-1, 0]),
        ("max_pool", 1, [0, 2]),
        ("max_pool", 0, [5, 4, 9]),
        ("max_pool", 1, [50, 50]),
    ]
    assert len(stored.rebuild(described, arrays).layers) == 4
    for key, place, value in changes:
        entry = {**described[0], key: list(described[0][key])}
        entry[key][place] = value
        with pytest.raises(DamagedError):
            stored.rebuild([entry, *described[1:]], arrays)
    with pytest.raises(DamagedError):
        stored.rebuild(described[:1], {k: a for k, a in arrays.items() if k.startswith("0.")})


@pytest.mark.parametrize(
    "scheme",
    [
        Prune(sparsity=0.7),
        LowRank(rank=3),
        TensorTrain(rank=3),
        Quantize(bits=4),
        Prune(sparsity=0.7) + Quantize(bits=4),
    ],
    ids=str,
)
def test_convolutions_are_compressed_in_training_and_afterwards(fitted, scheme):
    clf, x, y = fitted
    trained = clone(clf).set_params(scheme=scheme).fit(x, y)
    small = compress(clf, x, y, scheme=scheme, random_state=0, epochs=2)
    for net in (trained, small):
        assert [f.kind for f in net.layers_[:-1]] != ["dense"] * 3
        assert net.score(x, y) > 0.9
        assert net.hidden_layer_sizes == clf.hidden_layer_sizes
        assert net.compression_report_.total.n_bytes < clf.compression_report_.total.n_bytes
    assert small.compression_report_.layers[0].output_error > 0


def test_trains_behind_a_convolution_have_the_same_modes_however_they_come_about(fitted):
    clf, x, y = fitted
    scheme = {2: TensorTrain(rank=3)}
    trained = clone(clf).set_params(scheme=scheme, max_iter=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        trained.fit(x, y)
    _, filters = clf.layers_[1].shape
    found = [
        trained.network_,
        clf.compress(scheme=scheme).network_,
        compress(clf, x, scheme=scheme, epochs=0).network_,
    ]
    modes = {network.layers[2].weight.modes for network in found}
    assert len(modes) == 1
    (modes,) = modes
    assert math.prod(modes) == clf.layers_[2].shape[0] * 16
    # Height, width and channels follow one another.
    products = [math.prod(modes[:k]) for k in range(len(modes))]
    pixels = clf.layers_[2].shape[0] // filters
    assert pixels in products


def test_reconstruction_fits_the_data_better_than_the_projection(fitted):
    clf, x, _ = fitted
    scheme = Prune(sparsity=0.6)
    projected, fitted_to = clf.compress(scheme=scheme), clf.compress(x, scheme=scheme, epochs=0)
    dense = clf.network_.forward(x)
    errors = [np.linalg.norm(net.network_.forward(x) - dense) for net in (projected, fitted_to)]
    assert errors[1] < 0.8 * errors[0]


def test_budgets_cover_convolutions(fitted):
    clf, x, y = fitted
    small = clf.compress(x, y, ratio=3, epochs=1)
    assert small.compression_report_.ratio >= 3
    assert small.score(x, y) > 0.9
    with pytest.raises(ValueError, match="structure"):
        clf.compress(x, scheme=Prune(sparsity=0.5, structure="neuron"))


def test_regression_and_search_over_convolutions():
    x, _ = data(120)
    y = x[:, 0] - x[:, 30]
    search = GridSearchCV(
        BCDRegressor((Conv2D(3, 3), 8), input_shape=SHAPE, max_iter=20, random_state=0),
        {"hidden_layer_sizes": [(Conv2D(3, 3), 8), (Conv2D(3, 2), MaxPool2D(), 8)]},
        cv=2,
        error_score="raise",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        search.fit(x, y)
    assert isinstance(search.best_params_["hidden_layer_sizes"][0], Conv2D)


@pytest.mark.parametrize("export", ["to_sklearn"])
def test_what_cannot_be_exported_says_which_layer(fitted, export):
    with pytest.raises(ValueError, match="layer 0, which is a convolution"):
        getattr(fitted[0], export)()


# Bad input


@pytest.mark.parametrize(
    ("hidden", "shape", "message"),
    [
        ((Conv2D(4, 3),), None, "needs input_shape"),
        ((Conv2D(4, 3),), (5, 5, 1), "needs 25 features, but X has 84"),
        ((Conv2D(4, 3),), (84,), "input_shape must be the height"),
        ((Conv2D(4, 3),), (7, 12.0), "input_shape must be the height"),
        ((Conv2D(4, 9),), SHAPE, "kernel_size of 9 x 9 does not fit in images of 7 x 6"),
        ((Conv2D(4, 3, padding=3),), SHAPE, "padding must be smaller"),
        ((Conv2D(4, 2, padding="same"),), SHAPE, "odd kernel_size"),
        ((Conv2D(4, 3, padding="full"),), SHAPE, "padding must be an integer"),
        ((Conv2D(0, 3),), SHAPE, "filters must be a positive integer"),
        ((Conv2D(4, (3, 3, 3)),), SHAPE, "kernel_size must be"),
        ((Conv2D(4, 3, stride=0),), SHAPE, "stride must be"),
        ((MaxPool2D(), 5), SHAPE, "must follow a Conv2D directly"),
        ((Conv2D(4, 3), MaxPool2D(9)), SHAPE, "pool_size of 9 x 9 does not fit"),
        ((Conv2D(4, 3), MaxPool2D(0)), SHAPE, "pool_size must be"),
        ((5, Conv2D(4, 3)), SHAPE, "a dense layer comes before"),
        ((Conv2D(4, 3), "5"), SHAPE, "hidden_layer_sizes must be"),
    ],
)
def test_layers_that_do_not_fit_say_what_would(hidden, shape, message):
    x, y = data()
    for solver in ("full", "minibatch"):
        clf = BCDClassifier(hidden, input_shape=shape, solver=solver)
        with pytest.raises(ValueError, match=message):
            clf.fit(x, y)
