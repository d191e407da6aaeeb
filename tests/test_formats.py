"""One contract for every format: shape, type, product, state, size and copies."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import reference

from fastbcd.formats import (
    FORMATS,
    CodebookMatrix,
    CodebookSparseMatrix,
    CodebookTrainMatrix,
    DenseMatrix,
    LowRankMatrix,
    SparseMatrix,
    SumMatrix,
    TensorTrainMatrix,
)
from fastbcd.schemes.nearest.trains import default_modes, train_ranks

TOL = {np.float32: 1e-4, np.float64: 1e-11}
SHAPES = [(1, 1), (1, 7), (7, 1), (30, 8), (8, 30), (16, 16), (5, 300), (300, 5)]


def dense(rng, shape, dtype):
    weight = rng.normal(size=shape).astype(dtype)
    return DenseMatrix(weight), weight


def sparse(rng, shape, dtype):
    weight = (rng.normal(size=shape) * (rng.random(shape) < 0.3)).astype(dtype)
    return SparseMatrix.from_dense(weight), weight


def low_rank(rng, shape, dtype):
    rank = min(2, *shape)
    left = rng.normal(size=(shape[0], rank)).astype(dtype)
    right = rng.normal(size=(rank, shape[1])).astype(dtype)
    return LowRankMatrix(left, right), left @ right


def tensor_train(rng, shape, dtype):
    modes = default_modes(shape[0]) + default_modes(shape[1])
    return train_of(rng, modes, shape, dtype)


def tensor_train_across(rng, shape, dtype):
    # No prefix of these modes multiplies to the number of rows, but for one row.
    return train_of(rng, (shape[0] * shape[1], 1), shape, dtype)


def train_of(rng, modes, shape, dtype):
    ranks = train_ranks(modes, 2)
    cores = [
        rng.normal(size=(ranks[k], m, ranks[k + 1])).astype(dtype) for k, m in enumerate(modes)
    ]
    return TensorTrainMatrix(cores, shape), reference.tt_entries(cores).reshape(shape)


def levels_of(rng, n, dtype):
    return np.sort(rng.normal(size=n)).astype(dtype)


def codebook(rng, shape, dtype, levels=16, scaled=False):
    book = levels_of(rng, levels, dtype)
    codes = rng.integers(levels, size=shape)
    if not scaled:
        return CodebookMatrix(codes, book), book[codes]
    scale = rng.uniform(0.5, 2, shape[1]).astype(dtype)
    return CodebookMatrix(codes, book, scale), book[codes] * scale


def codebook_by_column(rng, shape, dtype):
    return codebook(rng, shape, dtype, levels=3, scaled=True)


def codebook_of_one(rng, shape, dtype):
    return codebook(rng, shape, dtype, levels=1)


def codebook_of_many(rng, shape, dtype):
    return codebook(rng, shape, dtype, levels=300)


def codebook_sparse(rng, shape, dtype, scaled=False):
    book = levels_of(rng, 5, dtype)
    codes = rng.integers(5, size=shape)
    mask = rng.random(shape) < 0.3
    places = SparseMatrix.from_dense(mask.astype(dtype))
    scale = rng.uniform(0.5, 2, shape[1]).astype(dtype) if scaled else None
    made = CodebookSparseMatrix(
        codes[mask], book, places.columns, places.row_lengths, shape[1], scale
    )
    return made, np.where(mask, book[codes] * (1 if scale is None else scale), 0).astype(dtype)


def codebook_sparse_by_column(rng, shape, dtype):
    return codebook_sparse(rng, shape, dtype, scaled=True)


def codebook_low_rank(rng, shape, dtype):
    return codebook_train_of(rng, shape, (1, min(2, *shape), 1), shape, dtype)


def codebook_train(rng, shape, dtype):
    modes = default_modes(shape[0]) + default_modes(shape[1])
    return codebook_train_of(rng, modes, train_ranks(modes, 2), shape, dtype)


def codebook_train_of(rng, modes, ranks, shape, dtype):
    book = levels_of(rng, 6, dtype)
    sizes = [(ranks[k], m, ranks[k + 1]) for k, m in enumerate(modes)]
    codes = [rng.integers(6, size=size) for size in sizes]
    flat = np.concatenate([part.ravel() for part in codes])
    made = CodebookTrainMatrix(flat, book, modes, ranks, shape, scale=-0.5)
    return made, -dtype(0.5) * reference.tt_entries([book[c] for c in codes]).reshape(shape)


def low_rank_plus_sparse(rng, shape, dtype):
    parts, weights = zip(low_rank(rng, shape, dtype), sparse(rng, shape, dtype), strict=True)
    return SumMatrix(parts), sum(weights)


# A new format is one more row.
BUILDERS = {
    "codebook": [codebook, codebook_by_column, codebook_of_one, codebook_of_many],
    "codebook_sparse": [codebook_sparse, codebook_sparse_by_column],
    "codebook_train": [codebook_train, codebook_low_rank],
    "sum": [low_rank_plus_sparse],
    "dense": [dense],
    "sparse": [sparse],
    "low_rank": [low_rank],
    "tensor_train": [tensor_train, tensor_train_across],
}
CONTRACT = [
    pytest.param(
        (build, shape, dtype), id=f"{build.__name__}-{shape[0]}x{shape[1]}-{dtype.__name__}"
    )
    for builders in BUILDERS.values()
    for build in builders
    for shape in SHAPES
    for dtype in TOL
]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(params=CONTRACT)
def member(request, rng):
    """Return a format, the matrix that it should be, and its type."""
    build, shape, dtype = request.param
    made, expected = build(rng, shape, dtype)
    return made, expected, dtype


def same_state(a, b):
    return a.keys() == b.keys() and all(
        a[key].dtype == b[key].dtype and np.array_equal(a[key], b[key]) for key in a
    )


def test_every_format_is_under_contract():
    ours = {kind for kind, cls in FORMATS.items() if cls.__module__.startswith("fastbcd.")}
    assert set(BUILDERS) == ours
    assert all(cls.kind == kind for kind, cls in FORMATS.items())


def test_a_format_is_the_matrix_that_it_was_made_of(member):
    made, expected, dtype = member
    weight = made.to_dense()
    assert made.shape == expected.shape == weight.shape
    assert made.dtype == weight.dtype == dtype
    np.testing.assert_allclose(weight, expected, rtol=TOL[dtype], atol=TOL[dtype])


@pytest.mark.parametrize("n", [0, 1, 13])
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_a_product_equals_the_dense_product(member, rng, n, order):
    made, expected, dtype = member
    wide = rng.normal(size=(n, 2 * made.shape[0])).astype(dtype)
    v = wide[:, ::2] if order == "strided" else np.array(wide[:, ::2], order=order)
    before = v.copy()
    product = made.matmul(v)
    assert product.dtype == dtype
    assert product.shape == (n, made.shape[1])
    np.testing.assert_allclose(product, v @ expected, rtol=TOL[dtype], atol=TOL[dtype])
    np.testing.assert_array_equal(v, before)


def test_the_dense_matrix_is_a_copy(member, rng):
    made, expected, dtype = member
    made.to_dense()[:] = np.nan
    v = rng.normal(size=(3, made.shape[0])).astype(dtype)
    made.matmul(v)[:] = np.nan
    np.testing.assert_allclose(made.to_dense(), expected, rtol=TOL[dtype], atol=TOL[dtype])
    np.testing.assert_allclose(made.matmul(v), v @ expected, rtol=TOL[dtype], atol=TOL[dtype])


def test_the_state_makes_the_same_matrix_again(member):
    made, _, _ = member
    state = made.state_dict()
    assert all(isinstance(array, np.ndarray) for array in state.values())
    again = FORMATS[made.kind].from_state(state)
    assert type(again) is type(made)
    assert again.shape == made.shape
    assert again.dtype == made.dtype
    assert same_state(again.state_dict(), state)
    np.testing.assert_array_equal(again.to_dense(), made.to_dense())


def test_a_state_read_from_memory_that_cannot_be_written_works(member, rng):
    made, _, dtype = member
    state = {key: array.copy() for key, array in made.state_dict().items()}
    for array in state.values():
        array.flags.writeable = False
    again = type(made).from_state(state)
    v = rng.normal(size=(3, made.shape[0])).astype(dtype)
    np.testing.assert_array_equal(again.matmul(v), made.matmul(v))
    np.testing.assert_array_equal(again.scaled(2.0).to_dense(), 2 * made.to_dense())


def test_the_bits_are_those_of_the_state(member):
    made, _, _ = member
    assert made.n_bits == 8 * sum(array.nbytes for array in made.state_dict().values())


def test_the_parameters_are_the_floating_point_numbers_of_the_state(member):
    made, _, dtype = member
    numbers = [a.size for a in made.state_dict().values() if a.dtype == dtype]
    assert made.n_params == sum(numbers)
    assert isinstance(made.n_params, int)


def test_the_flops_are_two_per_number_multiplied_and_never_more_than_it_takes(member):
    made, _, _ = member
    n_in, n_out = made.shape
    assert isinstance(made.flops, int)
    if made.kind in ("tensor_train", "codebook_train"):
        assert 0 < made.flops <= 2 * n_in * n_out
    elif made.kind in ("codebook", "codebook_sparse"):
        assert made.flops == 2 * made.codes.size + (0 if made.scale is None else n_out)
    else:
        assert made.flops == 2 * made.n_params


@pytest.mark.parametrize("factor", [1.0, -2.5, 0.0, 1e-3])
def test_a_scaled_format_is_the_scaled_matrix_in_the_same_form(member, factor):
    made, _, dtype = member
    before = made.to_dense()
    scaled = made.scaled(factor)
    assert type(scaled) is type(made)
    assert scaled.dtype == dtype
    assert scaled.shape == made.shape
    assert scaled.n_params == made.n_params
    np.testing.assert_allclose(
        scaled.to_dense(), factor * before, rtol=TOL[dtype], atol=TOL[dtype] * abs(factor)
    )
    np.testing.assert_array_equal(made.to_dense(), before)


def test_a_pickled_format_is_the_same_and_carries_no_products(member, rng):
    made, _, dtype = member
    v = rng.normal(size=(3, made.shape[0])).astype(dtype)
    fresh = pickle.dumps(made)
    product = made.matmul(v)
    used = pickle.dumps(made)
    assert len(used) == len(fresh)
    again = pickle.loads(used)
    assert same_state(again.state_dict(), made.state_dict())
    np.testing.assert_array_equal(again.matmul(v), product)


def test_the_repr_names_the_form_the_shape_and_the_size(member):
    made, _, _ = member
    text = repr(made)
    assert type(made).__name__ in text
    assert f"{made.shape[0]}x{made.shape[1]}" in text
    assert str(made.n_params) in text


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", TOL)
def test_a_matrix_of_zeros_stores_no_value_when_sparse(shape, dtype):
    made = SparseMatrix.from_dense(np.zeros(shape, dtype))
    assert made.n_params == made.flops == 0
    assert made.dtype == made.to_dense().dtype == dtype
    np.testing.assert_array_equal(made.to_dense(), np.zeros(shape))
    product = made.matmul(np.ones((2, shape[0]), dtype))
    assert product.dtype == dtype
    np.testing.assert_array_equal(product, np.zeros((2, shape[1])))
    again = SparseMatrix.from_state(made.state_dict())
    np.testing.assert_array_equal(again.to_dense(), np.zeros(shape))


@pytest.mark.parametrize(
    ("n_out", "n_bytes"), [(1, 1), (256, 1), (257, 2), (65_536, 2), (65_537, 4)]
)
def test_sparse_columns_take_the_fewest_bytes_that_hold_them(n_out, n_bytes):
    weight = np.zeros((2, n_out), np.float32)
    weight[0, 0] = weight[1, n_out - 1] = 1
    made = SparseMatrix.from_dense(weight)
    assert made.columns.dtype.itemsize == n_bytes
    np.testing.assert_array_equal(made.to_dense(), weight)


@pytest.mark.parametrize("n_out", [255, 256, 257])
def test_a_full_row_is_counted_in_a_type_that_holds_its_length(n_out):
    weight = np.ones((3, n_out))
    made = SparseMatrix.from_state(SparseMatrix.from_dense(weight).state_dict())
    assert made.row_lengths.tolist() == [n_out] * 3
    np.testing.assert_array_equal(made.to_dense(), weight)
    np.testing.assert_array_equal(made.matmul(np.ones((1, 3))), np.full((1, n_out), 3.0))


def test_a_train_is_multiplied_by_in_two_thin_products_where_the_modes_allow_it(rng):
    thin, _ = train_of(rng, (4, 4, 4, 4), (16, 16), np.float64)
    across, _ = train_of(rng, (256, 1), (16, 16), np.float64)
    assert thin.flops == 2 * 2 * (16 + 16)
    assert across.flops == 2 * 16 * 16


def damaged(kind, rng):
    """Yield states of ``kind`` that no kernel may ever see."""
    made, _ = BUILDERS[kind][0](rng, (16, 16), np.float32)
    good = made.state_dict()
    for key in good:
        yield {k: v for k, v in good.items() if k != key}
    for key, array in good.items():
        if array.ndim == 1 and array.size > 1:
            yield {**good, key: array[:-1]}
        if array.dtype.kind == "u" and key not in ("codes", "n_out"):
            yield {**good, key: np.full_like(array, np.iinfo(array.dtype).max)}
        if array.dtype.kind == "f":
            yield {**good, key: array.astype(np.complex64)}


def test_a_code_beyond_the_codebook_is_refused(rng):
    made, _ = codebook(rng, (4, 4), np.float32, levels=5)
    state = made.state_dict()
    state["codes"] = np.full_like(state["codes"], 255)
    with pytest.raises(ValueError, match="codes must be less than the codebook size, 5"):
        CodebookMatrix.from_state(state)


@pytest.mark.parametrize("kind", BUILDERS)
def test_a_damaged_state_is_refused(kind, rng):
    for state in damaged(kind, rng):
        with pytest.raises((ValueError, KeyError)):
            FORMATS[kind].from_state(state)


@pytest.mark.parametrize("columns", [[0, 0, 1, 2], [1, 0, 1, 2], [0, 1, 2, 1]])
def test_columns_that_do_not_increase_are_refused(columns):
    state = SparseMatrix.from_dense(np.ones((2, 2))).state_dict()
    state |= {"columns": np.array(columns, np.uint8), "n_out": np.uint32(3)}
    with pytest.raises(ValueError, match="columns must increase within each row"):
        SparseMatrix.from_state(state)
