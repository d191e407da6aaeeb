"""Images that move at random: the kernel against NumPy, what it teaches, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.metrics import log_loss

from fastbcd import BCDClassifier
from fastbcd_kernels import patches


def test_moved_images_repeat_their_border():
    rng = np.random.default_rng(0)
    images = rng.standard_normal((20, 5, 4, 2))
    moves = rng.integers(-3, 4, (20, 2))
    out = np.empty((20, 40))
    patches.move_images(images.reshape(20, -1), (5, 4, 2), moves, out)
    for image, (down, right), found in zip(images, moves, out, strict=True):
        rows = np.clip(np.arange(5) - down, 0, 4)
        columns = np.clip(np.arange(4) - right, 0, 3)
        assert_array_equal(found.reshape(5, 4, 2), image[rows][:, columns])


def bars(n, seed):
    """Noise and labels; the tests draw a bar in it."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    images = 0.1 * rng.standard_normal((n, 9, 9)).astype(np.float32)
    return images, y


def test_random_shift_teaches_what_was_not_seen_there():
    images, y = bars(200, 0)
    for image, label in zip(images, y, strict=True):
        image[(4, slice(2, 7)) if label else (slice(2, 7), 4)] += 1
    moved = np.roll(images, (1, -1), axis=(1, 2)).reshape(200, -1)
    fits = [
        BCDClassifier(
            (16,), input_shape=(9, 9), random_shift=shift, solver="minibatch", random_state=0,
            max_iter=30,
        ).fit(images.reshape(200, -1), y)
        for shift in (0, 1)
    ]  # fmt: skip
    assert fits[1].score(moved, y) > 0.95
    losses = [log_loss(y, fit.predict_proba(moved)) for fit in fits]
    assert losses[1] < losses[0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"random_shift": -1}, "random_shift must be an integer"),
        ({"random_shift": 1.5}, "random_shift must be an integer"),
        ({"random_shift": 1, "input_shape": None}, "pass input_shape"),
        ({"random_shift": 1, "solver": "full"}, 'solver="minibatch"'),
        ({"random_shift": 1, "certificate": True}, "certificate=False"),
    ],
)
def test_random_shift_that_cannot_be_is_refused(params, message):
    images, y = bars(20, 0)
    clf = BCDClassifier((4,), **{"input_shape": (9, 9), **params})
    with pytest.raises(ValueError, match=message):
        clf.fit(images.reshape(20, -1), y)


def test_random_shift_chooses_mini_batches():
    images, y = bars(60, 0)
    clf = BCDClassifier((4,), input_shape=(9, 9), random_shift=2, max_iter=2, random_state=0)
    clf.fit(images.reshape(60, -1), y)
    assert clf.n_iter_ == len(clf.objective_curve_) - 1 == 2
    assert np.isnan(clf.convergence_.step_norm).all()  # as mini-batches leave it
