"""Activations: values and derivatives, and what fits, files and programs make of them."""

import warnings

import numpy as np
import pytest
from deployed import ARCHITECTURES, image_classifier, images
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_diabetes, load_digits, make_friedman1
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from fastbcd import BCDClassifier, BCDRegressor, compress
from fastbcd.cli.options import ACTIVATIONS as NAMED_BY_THE_COMMAND_LINE
from fastbcd.layers import AveragePool2D, Conv2D, MaxPool2D
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.smooth import CURVES
from fastbcd.schemes import LowRank, Prune
from fastbcd.solvers.batch.units import activate, activate_and_keep, pull_back
from fastbcd.statistics.moments import sensitivities

NEW = ["softplus", "silu", "gelu"]


def test_the_command_line_names_all():
    assert tuple(ALL_ACTIVATIONS) == NAMED_BY_THE_COMMAND_LINE


@pytest.mark.parametrize("name", CURVES)
def test_derivatives_equal_finite_differences(name):
    u, h = np.linspace(-12, 12, 4001), 1e-6
    sigma = ALL_ACTIVATIONS[name]
    slope = (sigma.value(u + h) - sigma.value(u - h)) / (2 * h)
    for found in sigma.slopes(u):
        assert_allclose(found, slope, atol=3e-9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CURVES)
def test_values_and_derivatives_are_pytorch_s(name, dtype):
    torch = pytest.importorskip("torch")
    functions = {
        "logistic": torch.sigmoid,
        "tanh": torch.tanh,
        "softplus": torch.nn.Softplus(),
        "silu": torch.nn.SiLU(),
        "gelu": torch.nn.GELU(),
    }
    u = np.concatenate([np.linspace(-30, 30, 5001), [0.0, -1e4, 1e4, 1e-30, -1e-30]]).astype(dtype)
    at = torch.from_numpy(u.astype(np.float64)).requires_grad_()
    wanted = functions[name](at)
    wanted.sum().backward()
    sigma = ALL_ACTIVATIONS[name]
    found, (slope, _) = sigma.value(u), sigma.slopes(u)
    assert found.dtype == slope.dtype == dtype
    tol = 64 * np.finfo(dtype).eps
    # PyTorch's softplus is u itself above 20, 2e-9 less than it should be.
    assert_allclose(found, wanted.detach(), rtol=tol, atol=max(tol, 3e-9))
    assert_allclose(slope, at.grad, rtol=tol, atol=max(tol, 3e-9))


@pytest.mark.parametrize("name", ALL_ACTIVATIONS)
def test_the_batch_solver_s_activations_are_the_networks(name):
    u = np.random.default_rng(0).normal(0, 3, (3, 40, 5)).astype(np.float32)
    sigma = ALL_ACTIVATIONS[name]
    z, d = u.copy(), np.ones_like(u)
    known = activate_and_keep(name, z)
    assert_allclose(z, sigma.value(u), rtol=1e-6, atol=1e-7)
    assert_array_equal(z, activate(name, u.copy()))
    assert_allclose(pull_back(name, d, known), sigma.slopes(u)[0], rtol=1e-5, atol=1e-6)
    assert_array_equal(z, activate(name, u.copy()))  # and the values are not overwritten


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("solver", ["batch", "minibatch"])
def test_tables_are_learnt_as_well_as_with_relu(name, solver):
    x, y = make_friedman1(1500, noise=0.5, random_state=0)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)

    def error(activation):
        model = BCDRegressor((50,), activation=activation, solver=solver, random_state=0)
        return np.mean((model.fit(x_train, y_train).predict(x_test) - y_test) ** 2)

    assert error(name) < min(1.25 * error("relu"), 0.2 * np.var(y_test))


@pytest.mark.parametrize("name", NEW)
def test_auto_trains_them(name):
    x, y = load_diabetes(return_X_y=True)
    model = BCDRegressor((20,), activation=name, random_state=0).fit(x, y)
    assert model.score(x, y) > 0.4


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("given", [{"solver": "full"}, {"certificate": True}])
def test_exact_sweeps_refuse_them(name, given):
    x, y = load_diabetes(return_X_y=True)
    with pytest.raises(ValueError, match=f'activation="{name}" has no exact step.*solver="auto"'):
        BCDRegressor((5,), activation=name, **given).fit(x, y)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("scheme", [Prune(sparsity=0.7), LowRank(rank=4)])
def test_compressed_while_training_and_afterwards(name, scheme):
    x, y = make_friedman1(1200, noise=0.5, random_state=1)
    x_train, x_test, y_train, y_test = train_test_split(x, y, random_state=0)
    straight = BCDRegressor((40, 40), activation=name, scheme=scheme, random_state=0)
    assert straight.fit(x_train, y_train).score(x_test, y_test) > 0.75
    dense = BCDRegressor((40, 40), activation=name, encoding=None, random_state=0)
    dense.fit(x_train, y_train)
    options = {"scheme": {0: scheme, 1: scheme}, "random_state": 0}
    once = compress(dense, x_train, epochs=0, **options)
    refined = compress(dense, x_train, **options)
    assert {layer.activation for layer in refined.network_.layers[:-1]} == {name}
    goal = dense.predict(x_test)
    errors = [np.mean((net.predict(x_test) - goal) ** 2) for net in (once, refined)]
    assert errors[1] < 0.92 * errors[0]


@pytest.mark.parametrize("name", ["silu", "gelu"])
def test_images_are_pooled_after_an_activation_that_falls(name):
    # The largest of the pre-activations -1 and -4 gives the smaller of the activations.
    clf = image_classifier(ARCHITECTURES["both"], activation=name, dtype=np.float64)
    network, x = clf.network_, images(3, dtype=np.float64)
    found = sensitivities(network, x, centre=False)
    h = 1e-6
    for index, layer in enumerate(network.layers):
        v = x
        for below in network.layers[:index]:
            v = below.forward(v)
        u = layer.linear(v)
        squares = np.zeros(u.shape)
        for at in np.ndindex(u.shape):
            ends = []
            for sign in (1, -1):
                moved = u.copy()
                moved[at] += sign * h
                out = layer.activate(moved)
                for above in network.layers[index + 1 :]:
                    out = above.forward(out)
                ends.append(out)
            squares[at] = np.sum(((ends[0] - ends[1]) / (2 * h)) ** 2)
        assert_allclose(found[index], squares.mean(axis=0), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("name", NEW)
def test_convolutions_and_poolings_learn(name):
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=800)
    x = rng.normal(0, 0.5, (800, 8, 8))
    for image, upright, place in zip(x, y, rng.integers(1, 7, 800), strict=True):
        image[(slice(None), place) if upright else (place, slice(None))] += 1
    clf = BCDClassifier(
        (Conv2D(4, kernel_size=3), MaxPool2D(2), 16), input_shape=(8, 8), activation=name,
        random_state=0,
    )  # fmt: skip
    clf.fit(x[:600].reshape(600, -1), y[:600])
    assert clf.score(x[600:].reshape(200, -1), y[600:]) > 0.95


# ------------------------------------------------------------------ exact sweeps


@pytest.mark.parametrize("name", ["tanh", "logistic"])
@pytest.mark.parametrize("data", [load_digits, load_diabetes])
@pytest.mark.parametrize("scheme", [None, Prune(sparsity=0.5)])
def test_no_block_of_an_exact_sweep_raises_the_objective(name, data, scheme):
    x, y = data(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x, y, train_size=350, random_state=0)
    kind = BCDRegressor if data is load_diabetes else BCDClassifier
    model = kind(
        (16,), activation=name, solver="full", certificate=True, scheme=scheme, max_iter=100,
        random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x, y)
    record = model.convergence_
    scale = record.objective[0]
    steps = [step for sweep in record.block_steps for step in sweep]
    assert {step.block for step in steps} >= {"activation", "pre-activation", "weight"}
    assert min(step.decrease - step.guaranteed for step in steps) >= -1e-11 * scale
    assert np.all(record.decreases >= -1e-11 * scale)
    assert record.objective[-1] < 0.8 * scale
    assert record.subgradient_norm[-1] < 0.2 * record.subgradient_norm[0]
    # A constant scores 0 and 0.1.
    assert model.score(x_test, y_test) > (0.2 if data is load_diabetes else 0.75)


@pytest.mark.parametrize("name", ["tanh", "logistic"])
def test_a_maximum_after_a_smooth_activation_is_refused_in_exact_sweeps(name):
    x, y = load_digits(return_X_y=True)
    pooled = (Conv2D(2, kernel_size=3), MaxPool2D(2), 8)
    given = {"input_shape": (8, 8), "activation": name, "max_iter": 2, "random_state": 0}
    for exact in ({"solver": "full"}, {"certificate": True}):
        with pytest.raises(ValueError, match=f'activation="{name}".*before a MaxPool2D.*hard_tanh'):
            BCDClassifier(pooled, **given, **exact).fit(x[:200], y[:200])
    averaged = (Conv2D(2, kernel_size=3), AveragePool2D(2), 8)
    for model in (
        BCDClassifier(averaged, solver="full", **given),
        BCDClassifier(pooled, solver="minibatch", **given),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            assert model.fit(x[:200], y[:200]).network_.layers[0].activation == name
