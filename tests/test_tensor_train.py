"""The Gram-matrix sweep is the TT-SVD, and starting it warm costs next to nothing in error."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from fastbcd.schemes.nearest.train_sweep import tt_sweep
from fastbcd.schemes.nearest.trains import train_ranks

MODES = [
    (4, 4, 4, 4),
    (2, 3, 5, 7),
    (30, 30),
    (3, 1, 5, 1, 4),
    (1, 6, 6, 1),
    (1, 1, 1),
    (2,) * 8,
    (12, 4, 4, 2),
    (40, 2, 2),
    (2, 2, 40),
    (60, 9),
    (9, 60),
    (7,),
]
each_mode = pytest.mark.parametrize("modes", MODES, ids=str)
each_rank = pytest.mark.parametrize("rank", [1, 2, 5, 1000])


def sweep(tensor, modes, ranks, warm=None):
    """Run the kernel; return the cores, the energy cut and the number of exact problems."""
    sizes = [ranks[k] * modes[k] * ranks[k + 1] for k in range(len(modes))]
    buffer = np.full(sum(sizes), np.nan)
    if warm is not None:
        buffer = np.concatenate([core.ravel() for core in warm])
    as_array = np.asarray(modes, np.int64), np.asarray(ranks, np.int64)
    cut, n_exact = tt_sweep(tensor, *as_array, buffer, warm is not None)
    ends = np.cumsum(sizes)
    cores = [
        buffer[end - size : end].reshape(ranks[k], modes[k], ranks[k + 1])
        for k, (size, end) in enumerate(zip(sizes, ends, strict=True))
    ]
    return cores, cut, n_exact


def random_tensor(modes, seed=0):
    """Return a tensor whose unfoldings have decaying singular values, flat."""
    rng = np.random.default_rng(seed)
    tensor = rng.normal(size=modes)
    for axis, mode in enumerate(modes):
        decay = np.linalg.qr(rng.normal(size=(mode, mode)))[0] * 0.7 ** np.arange(mode)
        tensor = np.moveaxis(np.tensordot(decay, tensor, axes=(1, axis)), 0, axis)
    return np.ascontiguousarray(tensor).ravel()


def low_rank_tensor(modes, rank, seed=0):
    """Return the entries of a random train of the given rank."""
    rng = np.random.default_rng(seed)
    ranks = train_ranks(modes, rank)
    cores = [rng.normal(size=(ranks[k], m, ranks[k + 1])) for k, m in enumerate(modes)]
    return reference.tt_entries(cores)


def squared_error(tensor, cores):
    return float(np.sum((tensor - reference.tt_entries(cores)) ** 2))


@each_mode
@each_rank
def test_the_error_equals_that_of_the_tt_svd(modes, rank):
    tensor, ranks = random_tensor(modes), train_ranks(modes, rank)
    cores, _, _ = sweep(tensor, modes, ranks)
    expected = squared_error(tensor, reference.tt_svd(tensor, modes, ranks))
    floor = 1e-24 * np.sum(tensor**2)
    assert squared_error(tensor, cores) == pytest.approx(expected, rel=1e-6, abs=floor)


@each_mode
@each_rank
def test_the_train_is_that_of_the_tt_svd(modes, rank):
    # The cores themselves are determined up to rotations only.
    tensor, ranks = random_tensor(modes), train_ranks(modes, rank)
    cores, _, _ = sweep(tensor, modes, ranks)
    expected = reference.tt_entries(reference.tt_svd(tensor, modes, ranks))
    scale = np.linalg.norm(tensor)
    np.testing.assert_allclose(reference.tt_entries(cores), expected, atol=1e-9 * scale)


@each_mode
@each_rank
def test_the_cut_energy_is_the_squared_error(modes, rank):
    tensor, ranks = random_tensor(modes, seed=1), train_ranks(modes, rank)
    cores, cut, _ = sweep(tensor, modes, ranks)
    floor = 1e-24 * np.sum(tensor**2)
    assert cut == pytest.approx(squared_error(tensor, cores), rel=1e-8, abs=floor)
    assert cut >= 0


@each_mode
@each_rank
def test_the_squared_error_is_at_most_the_sum_of_the_tails_of_all_unfoldings(modes, rank):
    tensor, ranks = random_tensor(modes, seed=2), train_ranks(modes, rank)
    _, cut, _ = sweep(tensor, modes, ranks)
    bound = reference.unfolding_tail(tensor, modes, ranks)
    assert cut <= bound * (1 + 1e-9) + 1e-24 * np.sum(tensor**2)


@each_mode
@each_rank
@pytest.mark.parametrize("warm", [False, True])
def test_the_cores_left_of_the_last_cut_are_orthonormal(modes, rank, warm):
    tensor, ranks = random_tensor(modes, seed=3), train_ranks(modes, rank)
    cores, _, _ = sweep(tensor, modes, ranks)
    if warm:
        nearby = tensor + 0.01 * random_tensor(modes, seed=4)
        cores, _, _ = sweep(nearby, modes, ranks, cores)
    for k, core in enumerate(cores[:-1]):
        if ranks[k + 1] == np.prod(modes[k + 1 :]):
            break  # nothing is cut from here on: the core is the unfolding itself
        unfolded = core.reshape(-1, core.shape[2])
        np.testing.assert_allclose(unfolded.T @ unfolded, np.eye(core.shape[2]), atol=1e-12)


@each_mode
def test_full_ranks_lose_nothing_and_need_no_eigenproblem(modes):
    tensor, ranks = random_tensor(modes), train_ranks(modes, 10**6)
    cores, cut, n_exact = sweep(tensor, modes, ranks)
    np.testing.assert_allclose(reference.tt_entries(cores), tensor, atol=1e-14)
    assert cut == 0.0
    assert n_exact == 0


@each_mode
@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("warm", [False, True])
def test_a_tensor_of_low_rank_is_recovered(modes, rank, warm):
    tensor, ranks = low_rank_tensor(modes, rank), train_ranks(modes, rank)
    cores, cut, _ = sweep(tensor, modes, ranks)
    if warm:
        cores, cut, _ = sweep(tensor, modes, ranks, cores)
    scale = np.linalg.norm(tensor)
    assert np.linalg.norm(reference.tt_entries(cores) - tensor) <= 1e-10 * scale
    assert cut <= 1e-20 * scale**2


@pytest.mark.parametrize("modes", [(30, 30), (4, 4, 4, 4), (60, 9), (9, 60)], ids=str)
@pytest.mark.parametrize("noise", [1e-2, 1e-4, 3e-5, 1e-6, 1e-8, 1e-10])
def test_noise_below_the_precision_of_a_gram_matrix_is_still_cut_exactly(modes, noise):
    tensor = low_rank_tensor(modes, 3)
    rng = np.random.default_rng(5)
    tensor = tensor + noise * np.linalg.norm(tensor) / tensor.size**0.5 * rng.normal(
        size=tensor.size
    )
    ranks = train_ranks(modes, 3)
    cores, cut, _ = sweep(tensor, modes, ranks)
    expected = squared_error(tensor, reference.tt_svd(tensor, modes, ranks))
    assert squared_error(tensor, cores) == pytest.approx(expected, rel=1e-4, abs=0.0)
    assert cut == pytest.approx(expected, rel=1e-4, abs=0.0)


@each_mode
@pytest.mark.parametrize("warm", [False, True])
def test_a_tensor_of_zeros_has_a_finite_train_of_zeros(modes, warm):
    tensor, ranks = np.zeros(int(np.prod(modes))), train_ranks(modes, 2)
    start = None
    if warm:
        start, _, _ = sweep(random_tensor(modes), modes, ranks)
    cores, cut, _ = sweep(tensor, modes, ranks, start)
    assert cut == 0.0
    assert all(np.all(np.isfinite(core)) for core in cores)
    np.testing.assert_array_equal(reference.tt_entries(cores), 0.0)


def test_a_train_of_zeros_is_a_start_like_any_other():
    modes = (4, 4, 4, 4)
    ranks = train_ranks(modes, 3)
    zeros, _, _ = sweep(np.zeros(256), modes, ranks)
    tensor = random_tensor(modes)
    _, cold, _ = sweep(tensor, modes, ranks)
    _, warm, _ = sweep(tensor, modes, ranks, zeros)
    assert warm <= cold * 1.01


@each_mode
def test_the_tensor_is_not_changed(modes):
    tensor = random_tensor(modes)
    before = tensor.copy()
    cores, _, _ = sweep(tensor, modes, train_ranks(modes, 2))
    sweep(tensor, modes, train_ranks(modes, 2), cores)
    np.testing.assert_array_equal(tensor, before)


@each_mode
@each_rank
def test_repeating_a_sweep_warm_changes_nothing(modes, rank):
    tensor, ranks = random_tensor(modes, seed=6), train_ranks(modes, rank)
    cores, cold, _ = sweep(tensor, modes, ranks)
    again, warm, _ = sweep(tensor, modes, ranks, cores)
    floor = 1e-15 * np.sum(tensor**2)
    assert warm == pytest.approx(cold, rel=1e-6, abs=floor)
    change = np.linalg.norm(reference.tt_entries(again) - reference.tt_entries(cores))
    assert change <= 1e-6 * np.linalg.norm(tensor)


@each_mode
@pytest.mark.parametrize("rank", [1, 2])
def test_repeating_a_sweep_warm_solves_no_eigenproblem(modes, rank):
    # White noise: every cut takes far more than rounding.
    tensor, ranks = np.random.default_rng(6).normal(size=np.prod(modes)), train_ranks(modes, rank)
    cores, _, _ = sweep(tensor, modes, ranks)
    assert sweep(tensor, modes, ranks, cores)[2] == 0


@each_mode
@each_rank
def test_the_cut_energy_of_a_warm_sweep_is_its_squared_error(modes, rank):
    tensor, ranks = random_tensor(modes, seed=7), train_ranks(modes, rank)
    start, _, _ = sweep(tensor, modes, ranks)
    nearby = tensor + 0.1 * random_tensor(modes, seed=8)
    cores, cut, _ = sweep(nearby, modes, ranks, start)
    floor = 1e-13 * np.sum(tensor**2)
    assert cut == pytest.approx(squared_error(nearby, cores), rel=1e-8, abs=floor)


@pytest.mark.parametrize("modes", [(30, 30), (60, 9), (9, 60)], ids=str)
@pytest.mark.parametrize("distance", [0.001, 0.1, 1.0, 10.0])
def test_a_warm_matrix_is_never_worse_than_the_old_subspace(modes, distance):
    ranks = train_ranks(modes, 4)
    start, _, _ = sweep(random_tensor(modes, seed=9), modes, ranks)
    target = random_tensor(modes, seed=9) + distance * random_tensor(modes, seed=10)
    matrix, old = target.reshape(modes), start[0][0]
    _, warm, _ = sweep(target, modes, ranks, start)
    _, cold, _ = sweep(target, modes, ranks)
    assert cold <= warm * (1 + 1e-9)
    assert warm <= np.sum((matrix - old @ (old.T @ matrix)) ** 2) * (1 + 1e-9)


@pytest.mark.parametrize("modes", [(4, 4, 4, 4), (12, 4, 4, 2), (30, 30), (2,) * 8], ids=str)
@pytest.mark.parametrize("rank", [2, 5])
def test_a_drifting_tensor_is_followed_within_one_percent(modes, rank):
    ranks = train_ranks(modes, rank)
    tensor, drift = random_tensor(modes, seed=11), random_tensor(modes, seed=12)
    cores, _, _ = sweep(tensor, modes, ranks)
    for _ in range(40):
        tensor = tensor + 0.05 * drift
        cores, warm, _ = sweep(tensor, modes, ranks, cores)
        _, cold, _ = sweep(tensor, modes, ranks)
        assert warm <= cold * 1.01


@pytest.mark.parametrize("modes", [(4, 4, 4, 4), (12, 4, 4, 2), (30, 30), (2,) * 8], ids=str)
def test_a_start_that_has_nothing_to_do_with_the_tensor_is_recognised(modes):
    ranks = train_ranks(modes, 2)
    start, _, _ = sweep(random_tensor(modes, seed=13), modes, ranks)
    tensor = random_tensor(modes, seed=14)
    _, warm, n_exact = sweep(tensor, modes, ranks, start)
    _, cold, _ = sweep(tensor, modes, ranks)
    assert n_exact > 0
    assert warm <= cold * 1.01


@pytest.mark.parametrize("modes", [(30, 30), (4, 4, 4, 4), (60, 9), (9, 60)], ids=str)
@pytest.mark.parametrize("noise", [0.3, 1e-2, 1e-5])
def test_a_warm_sweep_in_float32_is_as_near_as_one_in_float64(modes, noise):
    rng = np.random.default_rng(5)
    ranks = train_ranks(modes, 3)
    tensor = low_rank_tensor(modes, 3)
    tensor += noise * np.linalg.norm(tensor) * rng.normal(size=tensor.size) / tensor.size**0.5
    start, _, _ = sweep(tensor + 1e-3 * noise * rng.normal(size=tensor.size), modes, ranks)
    single = tensor.astype(np.float32)
    cores, cut, _ = sweep(single, modes, ranks, [core.astype(np.float32) for core in start])
    best, _, _ = sweep(tensor, modes, ranks)
    assert cores[0].dtype == np.float32
    floor = (1e-6 * np.linalg.norm(tensor)) ** 2  # what rounding the cores costs
    error = squared_error(tensor, [core.astype(float) for core in cores])
    assert error == pytest.approx(squared_error(tensor, best), rel=1e-5, abs=floor)
    assert cut == pytest.approx(error, rel=1e-2, abs=floor)
