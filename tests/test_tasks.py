"""Tasks: what outputs mean, and the one rule from outputs to probabilities."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import expit, softmax

from fastbcd.network.losses.links import BY_CLASS, BY_LABEL, Link, nearest_on_simplex
from fastbcd.network.tasks import Classification, MultilabelClassification, Regression


def nearest_by_search(z):
    """Return the probability vector nearest to z (k,): the best over all supports."""
    best, distance = None, np.inf
    for size in range(1, len(z) + 1):
        for support in itertools.combinations(range(len(z)), size):
            p = np.zeros(len(z))
            chosen = list(support)
            p[chosen] = z[chosen] - (z[chosen].sum() - 1) / size
            if (p >= 0).all() and np.sum((p - z) ** 2) < distance:
                best, distance = p, np.sum((p - z) ** 2)
    return best


@pytest.mark.parametrize("size", [0.1, 1.0, 10.0])
def test_the_simplex_link_is_the_nearest_probability_vector(size):
    z = size * np.random.default_rng(0).standard_normal((50, 4))
    np.testing.assert_allclose(
        nearest_on_simplex(z), [nearest_by_search(row) for row in z], atol=1e-12
    )


def test_a_probability_vector_is_its_own_nearest():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 20)
    np.testing.assert_allclose(nearest_on_simplex(p), p, atol=1e-12)


@pytest.mark.parametrize("link", [*BY_CLASS.values(), *BY_LABEL.values()], ids=str)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_link_keeps_the_order_and_the_type(link, dtype):
    v = (5 * np.random.default_rng(1).standard_normal((200, 6))).astype(dtype)
    p = link(v)
    assert p.dtype == dtype
    assert p.min() >= 0
    if link.form == "sigmoid":  # each label by itself
        np.testing.assert_array_equal(p > 0.5, v > link.shift)
    else:
        np.testing.assert_array_equal(p.argmax(axis=1), v.argmax(axis=1))
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


def test_softmax_and_sigmoid_are_those_of_scipy():
    v = np.random.default_rng(2).standard_normal((9, 3))
    np.testing.assert_array_equal(Link("softmax")(v), softmax(v, axis=1))
    np.testing.assert_array_equal(Link("sigmoid", 4, 0.5)(v), expit(4 * (v - 0.5)))


def test_classes_are_encoded_decoded_and_scored():
    task = Classification(np.array(["b", "a", "c"]))  # the order of the outputs, not sorted
    targets = task.encode(["a", "b", "b", "c"], np.dtype(np.float32))
    np.testing.assert_array_equal(targets, [[0, 1, 0], [1, 0, 0], [1, 0, 0], [0, 0, 1]])
    assert task.decode(targets).tolist() == ["a", "b", "b", "c"]
    outputs = np.array([[0, 2, 1], [3, 0, 1], [0, 1, 0], [0, 0, 1]], float)
    assert task.score(outputs, targets) == 0.75
    assert task.score(outputs, targets, np.array([1, 1, 0, 1.0])) == 1
    with pytest.raises(ValueError, match="y contains the class 'd'"):
        task.encode(["a", "d"], np.dtype(float))


def test_labels_apply_above_their_threshold():
    outputs = np.array([[0.4, 0.6], [0.7, -1.0]])
    assert MultilabelClassification(2).decode(outputs).tolist() == [[1, 1], [1, 0]]
    squared = MultilabelClassification(2, "squared")
    assert squared.decode(outputs).tolist() == [[0, 1], [1, 0]]
    half = squared.probabilities(np.full((1, 2), squared.threshold))
    np.testing.assert_array_equal(half, 0.5)
    assert squared.score(outputs, np.array([[0, 1], [0, 0]])) == 0.5


def test_numbers_are_as_they_come():
    outputs = np.array([[1.0], [3.0]])
    assert Regression(1, flat=True).decode(outputs).shape == (2,)
    assert Regression(1).decode(outputs).shape == (2, 1)
    assert Regression(1).score(outputs, np.array([[1.0], [3.0]])) == 1
    with pytest.raises(TypeError, match="no probabilities"):
        Regression(1).probabilities(outputs)
