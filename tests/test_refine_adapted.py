"""The settings of a refinement adapt to its rows, targets and network."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression

from fastbcd.formats import DenseMatrix, SparseMatrix
from fastbcd.network.network import Layer, Network
from fastbcd.solvers.reconstruct.settings import DEFAULTS as RECONSTRUCT
from fastbcd.solvers.refine import RefineSettings, Targets
from fastbcd.solvers.refine.adapted import adapted
from fastbcd.statistics.moments import explained_share

ENOUGH = RECONSTRUCT.enough


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def redundant(rng, n, d=12):
    """Inputs that are all nearly the same number."""
    return (rng.standard_normal((n, 1)) + 0.1 * rng.standard_normal((n, d))).astype(np.float32)


def suited(x, labelled=True, classify=True, store=DenseMatrix):
    truth = np.eye(3)[np.arange(len(x)) % 3]
    weight = store(np.ones((x.shape[1], 3), np.float32))
    network = Network([Layer(weight, np.zeros(3, np.float32), "identity")])
    targets = Targets(truth, truth if labelled else None, classify)
    return adapted(RefineSettings(), targets, x, network)


def test_the_explained_share_is_that_of_regressions_on_the_other_inputs(rng):
    n, d = 60, 7
    x = rng.standard_normal((n, d)) @ (np.eye(d) + 0.15 * rng.standard_normal((d, d))) + 3
    unexplained = []
    for j in range(d):
        others = np.delete(x, j, axis=1)
        unexplained.append(1 - LinearRegression().fit(others, x[:, j]).score(others, x[:, j]))
    expected = 1 - np.average(unexplained, weights=x.var(axis=0)) * (n - 1) / (n - d)
    assert explained_share(x) == pytest.approx(expected, abs=5e-3)


def test_what_chance_explains_of_independent_inputs_does_not_count(rng):
    shares = [explained_share(rng.standard_normal((300, 200))) for _ in range(3)]
    assert max(shares) < 0.1 < RefineSettings.redundant_from
    assert explained_share(rng.standard_normal((50, 50))) == 0
    assert explained_share(np.ones((50, 4))) == 0


@pytest.mark.parametrize("n_rows", [300, ENOUGH])
def test_inputs_are_dropped_where_others_tell_the_same(rng, n_rows):
    assert suited(redundant(rng, n_rows)).drop == RefineSettings.drop
    assert suited(rng.standard_normal((n_rows, 12)).astype(np.float32)).drop == 0


def test_undropped_pulls_of_many_rows_are_less_noisy(rng):
    """So their momentum is greater."""
    assert suited(rng.standard_normal((ENOUGH, 3))).momentum == RefineSettings.momentum_undropped
    assert suited(redundant(rng, ENOUGH)).momentum == RefineSettings.momentum
    assert suited(rng.standard_normal((300, 3))).momentum == RefineSettings.momentum


def test_pruned_layers_step_carefully_on_few_rows_of_redundant_inputs(rng):
    few, many, apart = redundant(rng, 300), redundant(rng, ENOUGH), rng.standard_normal((300, 12))
    pruned = SparseMatrix.from_dense
    assert suited(few, store=pruned).rate == pytest.approx(
        RefineSettings.careful * RefineSettings.rate
    )
    for x, store in ((many, pruned), (apart, pruned), (few, DenseMatrix)):
        assert suited(x, store=store).rate == RefineSettings.rate


@pytest.mark.parametrize("labelled", [True, False])
def test_supports_move_in_classifications_alone(rng, labelled):
    x = redundant(rng, 300)
    assert suited(x, labelled).moving == RefineSettings.moving
    regression = suited(x, labelled, classify=False)
    assert regression.moving == regression.drop == 0
