"""Factored layers in the mini-batch solver: pairs of thin layers, and steps within trains."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_digits

from fastbcd import BCDClassifier
from fastbcd._architecture import Architecture
from fastbcd._network import Layer, Network
from fastbcd._views import WHOLE_ROW, Patches
from fastbcd.formats import DenseMatrix
from fastbcd.formats.tensor_train import chain
from fastbcd.layers import Conv2D
from fastbcd.schemes import LowRank, Prune, TensorTrain
from fastbcd.solvers.minibatch._factored import merged, pair_of, plan, split
from fastbcd.solvers.minibatch._tangent import TangentSpace

TRAINS = [((12, 10), (3, 4, 5, 2), 3), ((6, 4), (2, 3, 4), 3), ((16, 16), (4, 4, 4, 4), 5)]


def random_network(shapes, seed=0):
    rng = np.random.default_rng(seed)
    layers = [
        Layer(DenseMatrix(rng.standard_normal(s)), rng.standard_normal(s[1]), "relu")
        for s in shapes
    ]
    return Network(layers)


@pytest.mark.parametrize(("shape", "modes", "rank"), TRAINS)
def test_tangent_space_is_spanned_by_changes_of_single_cores(shape, modes, rank):
    rng = np.random.default_rng(0)
    cores = TensorTrain(rank, modes).project(rng.standard_normal(shape)).cores
    columns = []
    for k, core in enumerate(cores):
        for unit in np.eye(core.size):
            changed = [*cores[:k], unit.reshape(core.shape), *cores[k + 1 :]]
            columns.append(chain(changed).ravel())
    u, s, _ = np.linalg.svd(np.transpose(columns), full_matrices=False)
    u = u[:, s > 1e-10 * s[0]]
    step = rng.standard_normal(shape)
    expected = u @ (u.T @ step.ravel())
    TangentSpace(cores).project(step)
    assert_allclose(step.ravel(), expected, atol=1e-12)
    assert np.linalg.norm(expected) < np.sqrt(shape[0] * shape[1])  # something was cut off


def test_train_itself_and_its_scaling_are_tangent():
    train = TensorTrain(2, (4, 4, 4)).project(np.random.default_rng(1).standard_normal((16, 4)))
    step = 3 * train.to_dense()
    TangentSpace(train.cores).project(step)
    assert_allclose(step, 3 * train.to_dense(), atol=1e-12)


@pytest.mark.parametrize(
    ("scheme", "rank"),
    [
        (LowRank(3), 3),
        (TensorTrain(4, (3, 4, 5, 4)), 4),
        (TensorTrain(4), 4),
        (LowRank(energy=0.9), None),
        (LowRank(8), None),  # two layers that are larger than the one
        (TensorTrain(4, (2, 5, 8, 3)), None),  # no cut between 12 and 20
        (Prune(0.5), None),
        (None, None),
    ],
)
def test_what_becomes_a_pair(scheme, rank):
    pair = pair_of(scheme, (12, 20))
    assert (pair and pair.rank) == rank


@pytest.mark.parametrize("scheme", [LowRank(3), TensorTrain(4, (3, 4, 5, 4))])
def test_split_and_merged_networks_are_the_projected_one(scheme):
    shapes = ((9, 12), (12, 20), (20, 3))
    whole = Patches((3, 3, 1), (3, 3))  # an image of one position: a plain layer in effect
    layout = Architecture(shapes, (whole, WHOLE_ROW, WHOLE_ROW), (None,) * 3)
    schemes = [None, scheme, None]
    thin, thin_schemes, linear = plan(layout, schemes)
    assert linear == {1}
    assert thin.shapes == ((9, 12), (12, scheme.rank), (scheme.rank, 20), (20, 3))
    network = random_network(shapes)
    pairs = split(network, schemes, linear)
    assert [layer.activation for layer in pairs.layers] == ["relu", "identity", "relu", "relu"]
    projected = list(network.layers)
    projected[1] = Layer(scheme.project(network.layers[1].weight.to_dense()),
                         projected[1].intercept, "relu")  # fmt: skip
    x = np.random.default_rng(2).standard_normal((7, 9))
    expected = Network(projected).forward(x)
    assert_allclose(pairs.forward(x), expected)
    # With an intercept between the two, and in the formats that the solver hands over.
    layers = list(pairs.layers)
    for k in (1, 2):
        stored = layers[k].weight
        if thin_schemes[k] is not None:
            stored = thin_schemes[k].project(stored.to_dense())
        layers[k] = Layer(stored, layers[k].intercept + k, layers[k].activation)
    joined = Network(merged(layers, linear))
    assert_allclose(joined.forward(x), Network(layers).forward(x))
    made = projected[1].weight
    assert type(joined.layers[1].weight) is type(made)
    assert joined.layers[1].weight.n_params == made.n_params


def test_first_layers_and_networks_without_images_have_no_pairs():
    images = Architecture.of((Conv2D(12, 3), 20), 25, 3, (5, 5, 1))
    assert plan(images, [LowRank(3), LowRank(3), None]).linear == {1}
    plain = Architecture.of((9, 12), 25, 3)
    assert not plan(plain, [LowRank(3), LowRank(3), None]).linear


@pytest.mark.parametrize("scheme", [LowRank(6), TensorTrain(6)])
def test_fit_learns_goes_on_and_keeps_its_form(scheme):
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    clf = BCDClassifier(
        (Conv2D(8, 3), 64), input_shape=(8, 8), solver="minibatch", scheme={1: scheme},
        max_iter=6, warm_start=True, random_state=0,
    ).fit(x[:1200], y[:1200])  # fmt: skip
    score, stored = clf.score(x[1200:], y[1200:]), clf.layers_[1]
    assert score > 0.85
    assert type(stored) is type(scheme.project(stored.to_dense()))
    assert np.linalg.matrix_rank(stored.to_dense()) <= 6
    first_loss = clf.objective_curve_[0]
    clf.fit(x[:1200], y[:1200])
    assert clf.objective_curve_[0] < 0.5 * first_loss
    assert clf.score(x[1200:], y[1200:]) > score - 0.02
