"""One contract for every scheme: what it returns, what it refuses, and that nothing is nearer."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
import reference
from sklearn.base import clone

import fastbcd.schemes
from fastbcd.formats import Format, LowRankMatrix, SparseMatrix, TensorTrainMatrix
from fastbcd.schemes import Combination, LowRank, Prune, Quantize, Scheme, TensorTrain
from fastbcd.schemes.by_layer import schemes_by_layer
from fastbcd.schemes.nearest import thresholds
from fastbcd.schemes.nearest.trains import default_modes, train_ranks

TOL = {np.float32: 1e-5, np.float64: 1e-12}
SHAPES = [(1, 1), (1, 24), (24, 1), (12, 8), (8, 12), (24, 24), (7, 5)]

# A new scheme is one more row.
SCHEMES = [
    Prune(sparsity=0.0),
    Prune(sparsity=0.9),
    Prune(density=0.3),
    Prune(n_nonzero=1),
    Prune(n_nonzero=20),
    Prune(density=0.5, structure="neuron"),
    Prune(structure="2:4"),
    LowRank(rank=1),
    LowRank(rank=5),
    TensorTrain(rank=1),
    TensorTrain(rank=3),
    TensorTrain(rank=1000),
    TensorTrain(rank=2, modes=(4, 6, 2, 2)),
    LowRank(energy=0.5),
    LowRank(energy=0.999),
    Quantize(bits=1),
    Quantize(bits=3),
    Quantize(levels=5),
    Quantize(bits=16),
    Quantize(bits=2, method="uniform"),
    Quantize(levels=6, method="uniform"),
    Quantize(method="binary"),
    Quantize(method="ternary"),
    Quantize(bits=2, per="column"),
    Quantize(bits=3, method="uniform", per="column"),
    Quantize(method="binary", per="column"),
    Quantize(codebook=(-2.0, -0.7, 0.0, 0.7, 2.0)),
    Quantize(codebook=(-1.5, -0.5, 0.5, 1.5), per="column"),
    Prune(sparsity=0.5) + Quantize(codebook=(-1.5, -0.5, 0.5, 1.5), per="column"),
    Prune(sparsity=0.5) + Quantize(bits=2),
    Prune(n_nonzero=20) + Quantize(levels=3, per="column"),
    Prune(density=0.3) + Quantize(method="ternary", per="column"),
    Prune(density=0.5, structure="neuron") + Quantize(method="binary", per="column"),
    LowRank(rank=1) + Quantize(bits=3),
    TensorTrain(rank=3) + Quantize(bits=4),
    LowRank(rank=1) + Prune(density=0.2),
    TensorTrain(rank=2) + Prune(density=0.2) + Quantize(bits=3),
]


def fits(scheme: Scheme, shape: tuple[int, int]) -> bool:
    try:
        scheme.check(shape)
    except ValueError:
        return False
    return True


each_scheme = pytest.mark.parametrize("scheme", SCHEMES, ids=repr)
each_dtype = pytest.mark.parametrize("dtype", TOL)


def each_fit_of(chosen):
    """Run a test for every one of ``chosen`` schemes and every shape that it fits."""
    return pytest.mark.parametrize(
        ("scheme", "shape"),
        [
            pytest.param(scheme, shape, id=f"{scheme}-{shape[0]}x{shape[1]}")
            for scheme in chosen
            for shape in SHAPES
            if fits(scheme, shape)
        ],
    )


each_fit = each_fit_of(SCHEMES)
each_train = each_fit_of([s for s in SCHEMES if isinstance(s, TensorTrain)])
each_pruned = each_fit_of([s for s in SCHEMES if isinstance(s, Prune)])
each_freely_pruned = each_fit_of(
    [s for s in SCHEMES if isinstance(s, Prune) and s.structure is None]
)
# A share of the energy of the result is less than that of the weight. Factors of what is already a
# sum, or on a codebook, and codebooks up to column scales are found by local methods.
each_idempotent = each_fit_of(
    [
        s
        for s in SCHEMES
        if getattr(s, "energy", None) is None
        and not (isinstance(s, Quantize) and s.per == "column" and s.method == "kmeans")
        and not (
            isinstance(s, Combination)
            and (s.low_rank or s.tensor_train or s.quantize.per == "column")
        )
    ]
)
each_kmeans = each_fit_of(
    [s for s in SCHEMES if isinstance(s, Quantize) and s.method == "kmeans" and s.per == "layer"]
)


def random_weight(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def squared_error(weight, compressed):
    return float(np.sum((weight.astype(np.float64) - compressed.to_dense()) ** 2))


def on_factors(scheme):
    """Whether factors or cores are taken from a codebook."""
    return isinstance(scheme, Combination) and bool(
        (scheme.low_rank or scheme.tensor_train) and scheme.quantize
    )


def test_every_scheme_is_under_contract():
    public = {getattr(fastbcd.schemes, name) for name in fastbcd.schemes.__all__}
    assert {type(scheme) for scheme in SCHEMES} == public - {Scheme}
    for scheme in SCHEMES:
        assert any(fits(scheme, shape) for shape in SHAPES)


# Rows that count by a scale


@each_fit
@each_dtype
def test_rows_that_count_alike_are_projected_plainly(scheme, shape, dtype):
    weight = random_weight(shape, dtype)
    found = scheme.project_scaled(weight, np.ones((shape[0], 1), dtype))
    assert found.shape == shape
    assert found.dtype == dtype
    np.testing.assert_allclose(
        found.to_dense(), scheme.project(weight).to_dense(), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("scheme", [Prune(n_nonzero=5), LowRank(rank=2), Prune(structure="2:4")])
def test_the_projection_is_the_nearest_where_rows_count_by_a_scale(scheme):
    rng = np.random.default_rng(0)
    weight, scale = rng.normal(size=(8, 3)), np.exp(3 * rng.normal(size=(8, 1)))
    found = scheme.project_scaled(weight, scale).to_dense()

    def error(matrix):
        return np.sum((scale * (matrix - weight)) ** 2)

    if isinstance(scheme, LowRank):  # Eckart and Young
        assert error(found) == pytest.approx(np.linalg.svd(scale * weight)[1][2] ** 2)
    else:
        best = scheme.project(scale * weight).to_dense() != 0
        assert error(found) == pytest.approx(error(np.where(best, weight, 0)))
        np.testing.assert_array_equal(found[best], weight[best])
    assert error(found) < error(scheme.project(weight).to_dense())
    started = scheme.project_scaled(weight, scale, scheme.project_scaled(weight, scale))
    np.testing.assert_allclose(started.to_dense(), found, atol=1e-8)


def test_pruned_and_quantised_keeps_the_entries_that_count():
    rng = np.random.default_rng(0)
    weight, scale = rng.normal(size=(8, 6)), np.exp(3 * rng.normal(size=(8, 1)))
    kept = Prune(n_nonzero=20).project_scaled(weight, scale).to_dense() != 0
    found = (Prune(n_nonzero=20) + Quantize(bits=6)).project_scaled(weight, scale).to_dense()
    np.testing.assert_array_equal(found != 0, kept)


# What project returns


@each_fit
@each_dtype
def test_a_projection_has_the_shape_and_the_type_of_the_weight(scheme, shape, dtype):
    weight = random_weight(shape, dtype)
    before = weight.copy()
    compressed = scheme.project(weight)
    assert isinstance(compressed, Format)
    assert compressed.shape == shape
    assert compressed.dtype == compressed.to_dense().dtype == dtype
    np.testing.assert_array_equal(weight, before)


@each_fit
@each_dtype
def test_a_projection_does_not_depend_on_the_memory_order(scheme, shape, dtype):
    weight = random_weight(shape, dtype)
    expected = scheme.project(weight).to_dense()
    np.testing.assert_array_equal(scheme.project(np.asfortranarray(weight)).to_dense(), expected)
    wide = np.zeros((shape[0], 2 * shape[1]), dtype)
    wide[:, ::2] = weight
    np.testing.assert_array_equal(scheme.project(wide[:, ::2]).to_dense(), expected)


@each_idempotent
@each_dtype
def test_projecting_a_projection_changes_nothing(scheme, shape, dtype):
    once = scheme.project(random_weight(shape, dtype))
    twice = scheme.project(once.to_dense())
    assert twice.n_params == once.n_params
    np.testing.assert_allclose(
        twice.to_dense(), once.to_dense(), rtol=TOL[dtype], atol=10 * TOL[dtype]
    )


@each_fit
@each_dtype
def test_a_weight_of_zeros_stays_zero(scheme, shape, dtype):
    zero = np.zeros(shape, dtype)
    compressed = scheme.project(zero)
    np.testing.assert_array_equal(compressed.to_dense(), zero)
    np.testing.assert_array_equal(scheme.project(zero, compressed).to_dense(), zero)


@each_fit
def test_a_projection_commutes_with_scaling(scheme, shape):
    weight = random_weight(shape)
    # The signs of factors are arbitrary, and their codebook is not symmetric.
    for factor in (3.0 if on_factors(scheme) else -3.0, 1e-6, 1e6):
        scaled = scheme.project(factor * weight).to_dense()
        expected = factor * scheme.project(weight).to_dense()
        np.testing.assert_allclose(scaled, expected, rtol=1e-9, atol=1e-11 * abs(factor))


@each_fit
@each_dtype
def test_a_warm_start_is_as_near_as_a_cold_one(scheme, shape, dtype):
    weight = random_weight(shape, dtype)
    warm = scheme.project(weight)
    nearby = weight + dtype(0.05) * random_weight(shape, dtype, seed=1)
    started = scheme.project(nearby, warm)
    cold = scheme.project(nearby)
    assert started.shape == shape
    assert started.dtype == dtype
    floor = (TOL[dtype] * np.linalg.norm(nearby)) ** 2
    # Codes of factors depend on which of many equal factors were found.
    slack = 1.5 if on_factors(scheme) else 1.01
    assert squared_error(nearby, started) <= slack * squared_error(nearby, cold) + floor


@each_fit
def test_a_warm_start_of_another_kind_or_size_is_ignored(scheme, shape):
    weight = random_weight(shape)
    expected = scheme.project(weight).to_dense()
    strangers = [
        Prune(sparsity=0.0).project(random_weight(shape, seed=2)),
        LowRank(rank=1).project(random_weight((9, 4))),
        TensorTrain(rank=7).project(random_weight((4, 4))),
        Quantize(bits=6).project(random_weight((4, 4))),
        (Prune(sparsity=0.5) + Quantize(bits=6)).project(random_weight((4, 4))),
        (LowRank(rank=1) + Quantize(bits=6)).project(random_weight((4, 4))),
        (LowRank(rank=1) + Prune(sparsity=0.5)).project(random_weight((4, 4))),
    ]
    for warm in strangers:
        np.testing.assert_allclose(scheme.project(weight, warm).to_dense(), expected, atol=1e-12)


@each_fit
def test_a_warm_start_is_not_changed(scheme, shape):
    warm = scheme.project(random_weight(shape))
    before = {key: array.copy() for key, array in warm.state_dict().items()}
    scheme.project(random_weight(shape, seed=1), warm)
    after = warm.state_dict()
    assert all(np.array_equal(after[key], before[key]) for key in before)


# Nothing is nearer


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("size", [1, 7, thresholds.FEW, thresholds.FEW + 1])
@pytest.mark.parametrize("kind", ["normal", "ties", "zeros"])
def test_small_and_large_matrices_keep_the_same_entries(kind, size, dtype):
    rng = np.random.default_rng(size)
    values = rng.standard_normal(size) if kind == "normal" else rng.integers(-2, 3, size)
    x = np.asarray(0.0 * values if kind == "zeros" else values, dtype)
    x[0] = -0.0
    for k in {0, 1, size // 3, size}:
        kept = thresholds.hard_threshold(x, k)
        assert kept.dtype == x.dtype
        np.testing.assert_array_equal(kept, reference.hard_threshold(x, k))


@each_freely_pruned
def test_pruning_keeps_the_nearest_of_all_supports_that_are_tried(scheme, shape):
    weight = random_weight(shape, seed=3)
    compressed = scheme.project(weight)
    k, rng = compressed.n_params, np.random.default_rng(4)
    best = reference.hard_threshold(weight.ravel(), k).reshape(shape)
    np.testing.assert_array_equal(compressed.to_dense(), best)
    error = squared_error(weight, compressed)
    for _ in range(50):
        kept = rng.permutation(weight.size)[:k]
        rival = np.zeros(weight.size)
        rival[kept] = weight.ravel()[kept]
        assert error <= np.sum((weight.ravel() - rival) ** 2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 0.9])
def test_pruning_keeps_exactly_as_many_weights_as_asked_for(shape, share):
    weight, size = random_weight(shape), prod(shape)
    expected = max(1, round(share * size))
    assert Prune(density=share).project(weight).n_params == expected
    assert Prune(sparsity=1 - share).project(weight).n_params == expected
    assert Prune(n_nonzero=expected).project(weight).n_params == expected
    assert Prune(sparsity=0.0).project(weight).n_params == size


def test_pruning_neurons_keeps_the_columns_of_largest_norm():
    weight = random_weight((9, 8), seed=5)
    compressed = Prune(density=0.5, structure="neuron").project(weight).to_dense()
    norms = np.linalg.norm(weight, axis=0)
    kept = np.argsort(-norms)[:4]
    np.testing.assert_array_equal(compressed[:, kept], weight[:, kept])
    assert not np.delete(compressed, kept, axis=1).any()


@pytest.mark.parametrize("d", [4, 8, 10, 3])
@pytest.mark.parametrize("pattern", [(1, 2), (2, 4), (3, 4)])
def test_a_pattern_keeps_the_largest_of_each_group_of_inputs(d, pattern):
    n, m = pattern
    weight = random_weight((d, 5), seed=6)
    compressed = Prune(structure=f"{n}:{m}").project(weight).to_dense()
    for start in range(0, d, m):
        for j in range(5):
            group = weight[start : start + m, j]
            expected = reference.hard_threshold(group, min(n, group.size))
            np.testing.assert_array_equal(compressed[start : start + m, j], expected)


@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (40, 40), (100, 3)], ids=str)
@pytest.mark.parametrize("rank", [1, 2, 3])
@each_dtype
def test_the_error_of_low_rank_is_that_of_eckart_and_young(shape, rank, dtype):
    weight = random_weight(shape, dtype, seed=7)
    compressed = LowRank(rank=rank).project(weight)
    assert isinstance(compressed, LowRankMatrix)
    assert compressed.rank == rank
    assert compressed.n_params == rank * sum(shape)
    tail = np.linalg.svd(weight.astype(np.float64), compute_uv=False)[rank:]
    expected, floor = float(np.sum(tail**2)), float(TOL[dtype] * np.linalg.norm(weight)) ** 2
    assert squared_error(weight, compressed) == pytest.approx(expected, rel=1e-6, abs=floor)


@pytest.mark.parametrize("shape", [(12, 8), (8, 12)], ids=str)
def test_no_matrix_of_the_same_rank_is_nearer(shape):
    weight, rng = random_weight(shape, seed=8), np.random.default_rng(9)
    compressed = LowRank(rank=2).project(weight)
    error = squared_error(weight, compressed)
    for size in (0.01, 1.0, 100.0):
        for _ in range(20):
            left = compressed.left + size * rng.normal(size=compressed.left.shape)
            right = np.linalg.lstsq(left, weight, rcond=None)[0]
            assert error <= np.sum((weight - left @ right) ** 2) * (1 + 1e-12)


@pytest.mark.parametrize("energy", [0.1, 0.5, 0.9, 0.99, 0.99999])
@each_dtype
def test_the_rank_for_an_energy_is_the_smallest_that_keeps_it(energy, dtype):
    weight = random_weight((20, 14), dtype, seed=10)
    rank = LowRank(energy=energy).project(weight).rank
    squares = np.linalg.svd(weight.astype(np.float64), compute_uv=False) ** 2
    assert squares[:rank].sum() >= energy * squares.sum()
    assert squares[: rank - 1].sum() < energy * squares.sum()


@each_train
def test_a_tensor_train_is_as_near_as_the_tt_svd(scheme, shape):
    weight = random_weight(shape, seed=11)
    train = scheme.project(weight)
    assert isinstance(train, TensorTrainMatrix)
    assert prod(train.modes) == weight.size
    assert max(train.ranks) <= scheme.rank
    expected = weight.ravel() - reference.tt_entries(
        reference.tt_svd(weight.ravel(), train.modes, train.ranks)
    )
    floor = 1e-24 * np.sum(weight**2)
    assert squared_error(weight, train) == pytest.approx(np.sum(expected**2), rel=1e-6, abs=floor)


def test_a_rank_without_bound_makes_the_train_exact():
    weight = random_weight((24, 24))
    np.testing.assert_allclose(
        TensorTrain(rank=10**6).project(weight).to_dense(), weight, atol=1e-13
    )


# Published sizes of trains

HAR_MODES = {
    (561, 1024): (6, 22, 34, 2, 2, 2, 2, 2, 2, 2),
    (1024, 1024): (4,) * 10,
    (1024, 512): (4,) * 9 + (2,),
    (512, 512): (4,) * 9,
}
HAR_4 = [(561, 1024), (1024, 1024), (1024, 1024), (1024, 512)]
HAR_5 = [*HAR_4, (512, 512)]


def n_params_of_train(modes, rank):
    ranks = train_ranks(modes, rank)
    return sum(ranks[k] * m * ranks[k + 1] for k, m in enumerate(modes))


@pytest.mark.parametrize(
    ("layers", "rank", "ratio"),
    [
        (HAR_4, 10, 0.0043),
        (HAR_4, 20, 0.0146),
        (HAR_4, 30, 0.0296),
        (HAR_4, 40, 0.0493),
        (HAR_4, 60, 0.1034),
        (HAR_4, 80, 0.1668),
        (HAR_4, 100, 0.2426),
        (HAR_5, 40, 0.0528),
        (HAR_5, 60, 0.1104),
        (HAR_5, 80, 0.1759),
        (HAR_5, 100, 0.2531),
    ],
)
def test_the_trains_of_the_human_activity_networks_have_the_published_sizes(layers, rank, ratio):
    for shape in layers:
        TensorTrain(rank=rank, modes=HAR_MODES[shape]).check(shape)
    small = sum(n_params_of_train(HAR_MODES[shape], rank) for shape in layers)
    assert small / sum(prod(shape) for shape in layers) == pytest.approx(ratio, abs=5.1e-5)


def test_the_ranks_of_the_published_train_are_cut_where_the_unfoldings_are_small():
    assert train_ranks((4,) * 10, 80) == (1, 4, 16, 64, 80, 80, 80, 64, 16, 4, 1)


@each_train
def test_the_size_of_a_train_is_the_sum_over_its_cores(scheme, shape):
    train = scheme.project(random_weight(shape))
    assert train.ranks == train_ranks(train.modes, scheme.rank)
    assert train.n_params == n_params_of_train(train.modes, scheme.rank)


def test_default_modes_multiply_to_the_number_and_are_small_where_its_factors_are():
    for n in range(1, 1500):
        modes = default_modes(n)
        assert prod(modes) == n
        assert modes == tuple(sorted(modes))
        if n > 2:
            assert min(modes) >= 3
    assert default_modes(1) == (1,)
    assert default_modes(2) == (2,)
    assert default_modes(1024) == (4,) * 5
    assert default_modes(997) == (997,)


# What check refuses

SHAPE = (6, 4)
NAN = float("nan")
INF = float("inf")
BAD = [
    *[(Prune(sparsity=bad), "sparsity") for bad in (1.0, 1, -0.1, 2, NAN, INF, "0.9", True, False)],
    *[(Prune(sparsity=bad), "sparsity") for bad in ([0.9], (), {}, 0.5j, np.array([0.5, 0.6]))],
    *[(Prune(density=bad), "density") for bad in (0, 0.0, -0.5, 1.1, NAN, INF, "0.1", True, False)],
    *[(Prune(density=bad), "density") for bad in ([0.1], (), {}, 0.5j, np.array([0.5, 0.6]))],
    *[(Prune(n_nonzero=bad), "n_nonzero") for bad in (0, -1, 25, 2.0, 0.5, NAN, "3", True, [3])],
    *[(Prune(0.5, structure=bad), "structure") for bad in ("", "rows", "4:2", "0:4", "2:2", 3)],
    *[(Prune(0.5, structure=bad), "structure") for bad in (True, ["neuron"], "2:4", "2:4\n")],
    (Prune(structure="neuron"), "sparsity"),
    (Prune(0.5, 0.5, structure="neuron"), "density"),
    (Prune(), "sparsity, density, n_nonzero"),
    (Prune(sparsity=0.5, density=0.5), "sparsity=0.5 and density=0.5"),
    (Prune(sparsity=0.5, n_nonzero=3), "sparsity=0.5 and n_nonzero=3"),
    (Prune(density=0.5, n_nonzero=3), "density=0.5 and n_nonzero=3"),
    (Prune(0.5, 0.5, 12), "sparsity"),
    *[(LowRank(rank=bad), "rank") for bad in (0, -1, 5, 100, 2.0, NAN, "2", True, [2], (2, 2))],
    *[(LowRank(energy=bad), "energy") for bad in (0, 1, 0.0, 1.0, 1.5, -0.1, NAN, INF, "0.9")],
    *[(LowRank(energy=bad), "energy") for bad in (True, False, [0.9], 0.5j, np.array([0.5, 0.6]))],
    (LowRank(), "rank, energy"),
    (LowRank(rank=2, energy=0.9), "rank=2 and energy=0.9"),
    *[(TensorTrain(rank=bad), "rank") for bad in (0, -1, 2.0, NAN, "2", True, None, [2])],
    *[(TensorTrain(modes=bad), "modes") for bad in ((24,), (), (2, 3), (5, 5), (6, 4, 2))],
    *[(TensorTrain(modes=bad), "modes") for bad in ((-6, -4), (0, 24), (6.0, 4.0), (True, 24))],
    *[(TensorTrain(modes=bad), "modes") for bad in (24, 24.0, "64", "6,4", ("6", "4"), NAN)],
    *[(TensorTrain(modes=bad), "modes") for bad in ((6, NAN), ((6, 4), (1, 1)), True)],
    *[(Quantize(bits=bad), "bits") for bad in (0, 17, -1, 2.0, NAN, "4", True, [4], (4, 4))],
    *[(Quantize(levels=bad), "levels") for bad in (0, 1, 65_537, 4.0, NAN, "4", True, [4])],
    *[(Quantize(4, method=bad), "method") for bad in ("k-means", "", None, 3, ["kmeans"])],
    *[(Quantize(4, per=bad), "per") for bad in ("row", "", None, 0)],
    *[(Quantize(codebook=bad), "codebook") for bad in (3, (), (1.0,), (1, NAN), "ab", (True, 2))],
    (Quantize(codebook=(0, 1), method="uniform"), "codebook"),
    (Quantize(4, codebook=(0, 1)), "bits=4 and codebook"),
    (Quantize(), "bits, levels"),
    (Quantize(bits=4, levels=16), "bits=4 and levels=16"),
    (Quantize(bits=1, method="binary"), "bits=1"),
    (Quantize(levels=3, method="ternary"), "levels=3"),
    (Combination(), "two schemes"),
    (Combination(prune=Prune(0.5)), "two schemes"),
    (Combination(prune=Quantize(4), quantize=Quantize(4)), "prune"),
    (Combination(LowRank(1), TensorTrain(1), Prune(0.5)), "low_rank and tensor_train"),
    (Prune() + Quantize(4), "sparsity, density, n_nonzero"),
    (Prune(0.5) + Quantize(), "bits, levels"),
    (LowRank(5) + Quantize(4), "rank"),
    (LowRank(1) + Quantize(4, per="column"), "per"),
]


@pytest.mark.parametrize(("scheme", "named"), BAD, ids=[repr(scheme) for scheme, _ in BAD])
def test_what_describes_no_compressed_matrix_is_refused_by_name(scheme, named):
    with pytest.raises(ValueError, match=r".") as refused:
        scheme.check(SHAPE)
    assert named in str(refused.value)
    with pytest.raises(ValueError, match=r".") as refused:
        scheme.project(random_weight(SHAPE))
    assert named in str(refused.value)


@pytest.mark.parametrize(
    "scheme",
    [
        Prune(sparsity=0),
        Prune(sparsity=np.float32(0.5)),
        Prune(density=1),
        Prune(density=1.0),
        Prune(n_nonzero=np.int64(24)),
        LowRank(rank=np.int32(4)),
        LowRank(energy=np.float64(0.5)),
        TensorTrain(rank=np.int64(3)),
        TensorTrain(modes=[6, 4]),
        TensorTrain(modes=(np.int64(2), 12)),
        TensorTrain(modes=np.array([6, 4])),
    ],
    ids=repr,
)
def test_the_numbers_of_numpy_and_the_ends_of_the_ranges_are_accepted(scheme):
    scheme.check(SHAPE)
    assert scheme.project(random_weight(SHAPE)).shape == SHAPE


# A parameter object in scikit-learn's style


@each_scheme
def test_a_scheme_can_be_cloned_and_compared(scheme):
    copy = clone(scheme)
    assert copy is not scheme
    assert type(copy) is type(scheme)
    assert copy == scheme
    assert copy.get_params() == scheme.get_params()
    assert type(scheme)(**scheme.get_params(deep=False)) == scheme
    assert repr(copy) == repr(scheme)


def test_schemes_with_other_parameters_or_of_other_kinds_differ():
    for i, one in enumerate(SCHEMES):
        for other in SCHEMES[i + 1 :]:
            assert one != other


@each_scheme
def test_parameters_are_set_by_name(scheme):
    target = type(scheme)()
    assert target.set_params(**scheme.get_params()) is target
    assert target == scheme


@each_scheme
def test_an_unknown_parameter_is_refused_with_the_known_ones(scheme):
    with pytest.raises(ValueError, match="colour") as refused:
        clone(scheme).set_params(colour=1)
    assert all(name in str(refused.value) for name in scheme.get_params())


@each_scheme
def test_projecting_leaves_no_trace_in_the_scheme(scheme):
    shape = next(shape for shape in SHAPES if fits(scheme, shape))
    before = dict(vars(scheme))
    scheme.project(random_weight(shape))
    assert vars(scheme) == before


# Combinations


def test_combinations_are_sums_in_any_order():
    parts = [LowRank(rank=1), Prune(sparsity=0.5), Quantize(bits=2)]
    first = parts[0] + parts[1] + parts[2]
    assert first == parts[2] + (parts[1] + parts[0])
    assert first.parts == parts
    assert repr(first) == " + ".join(map(repr, parts))
    assert eval(repr(first)) == first
    assert str(first) == ("LowRank(rank=1) + Prune(sparsity=0.5) + Quantize(bits=2)")


def test_the_parameters_of_a_combination_are_reached_by_name():
    scheme = Prune(sparsity=0.5) + Quantize(bits=2)
    assert scheme.get_params()["prune__sparsity"] == 0.5
    assert set(scheme.get_params(deep=False)) == {"low_rank", "tensor_train", "prune", "quantize"}
    assert scheme.set_params(prune__sparsity=0.9, quantize__bits=3) is scheme
    assert scheme == Prune(sparsity=0.9) + Quantize(bits=3)
    scheme.set_params(quantize=Quantize(bits=4))
    assert scheme == Prune(sparsity=0.9) + Quantize(bits=4)
    for unknown in ("prune__bits", "low_rank__rank", "bits", "prune__"):
        with pytest.raises(ValueError, match=unknown) as refused:
            scheme.set_params(**{unknown: 1})
        assert "prune__sparsity" in str(refused.value)


@pytest.mark.parametrize(
    "schemes",
    [
        (Prune(0.5), Prune(0.9)),
        (Quantize(2), Quantize(3)),
        (LowRank(1), TensorTrain(1)),
        (Prune(0.5) + Quantize(2), Prune(0.5)),
    ],
    ids=str,
)
def test_schemes_that_do_not_go_together_are_refused_with_those_that_do(schemes):
    with pytest.raises(ValueError, match="Possible are Prune"):
        sum(schemes[1:], start=schemes[0])


def test_a_scheme_of_a_users_own_cannot_be_combined():
    class Mine(Prune):
        pass

    with pytest.raises(ValueError, match="Mine"):
        Mine(0.5) + Quantize(2)
    with pytest.raises(TypeError):
        Prune(0.5) + 3


# One scheme per layer

LAYERS = [(10, 8), (8, 6), (6, 3)]
A, B = Prune(sparsity=0.5), LowRank(rank=2)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, [None, None, None]),
        (A, [A, A, None]),
        ({}, [None, None, None]),
        ({0: A}, [A, None, None]),
        ({"output": B}, [None, None, B]),
        ({0: A, "output": B}, [A, None, B]),
        ({-1: B, -3: A}, [A, None, B]),
        ({0: A, 1: None}, [A, None, None]),
    ],
)
def test_the_output_layer_stays_dense_unless_it_is_named(choice, expected):
    assert schemes_by_layer(choice, LAYERS) == expected


def test_a_network_without_hidden_layers_has_only_an_output_layer():
    assert schemes_by_layer(A, [(10, 3)]) == [None]
    assert schemes_by_layer({0: A}, [(10, 3)]) == [A]


@pytest.mark.parametrize(
    ("choice", "error", "said"),
    [
        ({3: A}, ValueError, "no layer 3"),
        ({-4: A}, ValueError, "no layer -4"),
        ({"hidden": A}, TypeError, "'hidden'"),
        ({0.5: A}, TypeError, r"0\.5"),
        ({0: 0.9}, TypeError, r"0\.9"),
        ({0: Prune}, TypeError, "Prune"),
        (0.9, TypeError, r"0\.9"),
        ("prune", TypeError, "'prune'"),
        ([A, A], TypeError, "scheme"),
        (Prune, TypeError, "scheme"),
        (LowRank(rank=7), ValueError, "layer 1 of shape"),
        ({"output": LowRank(rank=4)}, ValueError, "layer 2 of shape"),
        (Prune(sparsity=1.5), ValueError, "sparsity"),
    ],
)
def test_a_choice_that_fits_no_layer_is_refused_by_name(choice, error, said):
    with pytest.raises(error, match=said):
        schemes_by_layer(choice, LAYERS)


@each_pruned
def test_a_pruned_matrix_is_sparse_and_stores_no_zero(scheme, shape):
    weight = np.round(random_weight(shape), 0)  # many zeros and ties
    compressed = scheme.project(weight)
    assert isinstance(compressed, SparseMatrix)
    assert np.count_nonzero(compressed.to_dense()) == compressed.n_params
