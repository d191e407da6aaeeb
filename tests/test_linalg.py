"""The in-place products and the linear solves of the block updates."""

from __future__ import annotations

import numpy as np
import pytest

from fastbcd.linalg.eigen import all_eigenpairs, largest_eigenpairs
from fastbcd.linalg.factorisations import (
    cholesky_inverse,
    general_inverse,
    reduced_qr,
    upper_cholesky,
)
from fastbcd.linalg.products import (
    CHUNK,
    add_product,
    cross,
    gram,
    linear,
    square,
    squared_distance,
    squared_norm,
    symmetric_product,
)

pytestmark = pytest.mark.usefixtures("alone_and_shared")

TOL = {np.float32: 1e-5, np.float64: 1e-12}

each_dtype = pytest.mark.parametrize("dtype", TOL)
each_count = pytest.mark.parametrize("n", [1, 7, CHUNK, CHUNK + 1, 3 * CHUNK - 5])
each_weighting = pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])


def normal(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def row_weights(n, weighted):
    return np.random.default_rng(1).uniform(0, 3, n) if weighted else None


def with_ones(v):
    """Return [V 1] in float64."""
    return np.hstack([v.astype(np.float64), np.ones((len(v), 1))])


@each_dtype
@pytest.mark.parametrize(
    "sizes", [(5, 4, 3), (1, 1, 1), (1, 6, 1), (6, 1, 1), (1, 1, 6), (401, 7, 5)], ids=str
)
@pytest.mark.parametrize("factor", [1.0, -0.5, 0.0])
def test_a_product_is_added_in_place(dtype, sizes, factor):
    n, k, m = sizes
    a, b, out = normal(n, k, dtype=dtype), normal(k, m, dtype=dtype), normal(n, m, dtype=dtype)
    expected = out.astype(np.float64) + factor * (a.astype(np.float64) @ b.astype(np.float64))
    assert add_product(out, a, b, factor) is out
    assert out.dtype == dtype
    np.testing.assert_allclose(out, expected, rtol=TOL[dtype], atol=TOL[dtype])


@each_dtype
def test_a_product_with_a_transpose_is_added_in_place(dtype):
    out, a = normal(300, 5, dtype=dtype), normal(300, 4, dtype=dtype)
    b = normal(5, 4, dtype=dtype)
    expected = out + 0.5 * (a @ b.T)
    assert add_product(out, a, b, 0.5, transposed=True) is out
    np.testing.assert_allclose(out, expected, rtol=TOL[dtype], atol=TOL[dtype])


@each_dtype
@pytest.mark.parametrize("m", [1, 5, 41])
def test_a_symmetric_product_reads_the_lower_half_alone(dtype, m):
    a, half = normal(300, m, dtype=dtype), normal(m, m, dtype=dtype)
    matrix = np.tril(half) + np.tril(half, -1).T
    half[np.triu_indices(m, 1)] = np.nan
    out = np.full((300, m), np.nan, dtype)
    assert symmetric_product(a, half, out) is out
    np.testing.assert_allclose(out, a @ matrix, rtol=TOL[dtype], atol=10 * TOL[dtype])


@each_dtype
@pytest.mark.parametrize("shape", [(1, 1), (8, 3), (1025, 1024)], ids=str)
def test_a_squared_norm_is_the_squared_distance_to_zero(dtype, shape):
    a, weight = normal(*shape, dtype=dtype), np.linspace(0.5, 2, shape[0])
    expected = weight @ np.sum(a.astype(np.float64) ** 2, axis=1)
    assert squared_norm(a, weight) == pytest.approx(expected, rel=TOL[dtype])


@each_dtype
def test_a_squared_distance_weighs_the_rows(dtype):
    a, b, weight = (
        normal(700, 3, dtype=dtype),
        normal(700, 3, dtype=dtype, seed=1),
        np.arange(700.0),
    )
    expected = weight @ np.sum((a.astype(np.float64) - b) ** 2, axis=1)
    assert squared_distance(a, b, weight) == pytest.approx(expected, rel=TOL[dtype])


@each_dtype
@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (300, 4), (4, 300)], ids=str)
def test_a_square_is_that_of_the_shorter_side(dtype, shape):
    a = normal(*shape, dtype=dtype)
    expected = a @ a.T if shape[0] < shape[1] else a.T @ a
    result = square(a)
    assert result.flags.c_contiguous
    np.testing.assert_allclose(np.tril(result), np.tril(expected), rtol=1e-5, atol=1e3 * TOL[dtype])


@each_dtype
def test_a_linear_layer_is_written_where_it_is_asked_for(dtype):
    x, w, b = normal(9, 4, dtype=dtype), normal(4, 5, dtype=dtype), normal(5, dtype=dtype)
    out = np.full((9, 5), np.nan, dtype)
    assert linear(x, w, b, out) is out
    np.testing.assert_allclose(out, x @ w + b, rtol=TOL[dtype], atol=TOL[dtype])


@each_dtype
@each_count
@each_weighting
def test_the_gram_matrix_is_that_of_the_inputs_and_a_column_of_ones(dtype, n, weighted):
    v, weight = normal(n, 6, dtype=dtype), row_weights(n, weighted)
    before = v.copy()
    result = gram(v, weight)
    ones = with_ones(v)
    expected = ones.T @ (ones if weight is None else weight[:, None] * ones)
    assert result.dtype == np.float64
    assert result.flags.c_contiguous
    np.testing.assert_allclose(np.tril(result), np.tril(expected), rtol=1e-5, atol=TOL[dtype] * n)
    np.testing.assert_array_equal(v, before)


@each_dtype
@each_count
@each_weighting
def test_the_cross_product_is_that_of_the_inputs_and_a_column_of_ones(dtype, n, weighted):
    v, u, weight = normal(n, 6, dtype=dtype), normal(n, 3, dtype=dtype), row_weights(n, weighted)
    result = cross(v, u, weight)
    wide = u.astype(np.float64)
    expected = with_ones(v).T @ (wide if weight is None else weight[:, None] * wide)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=TOL[dtype] * n)


@each_weighting
def test_a_float32_gram_matrix_loses_nothing_to_long_sums(weighted):
    n = 200 * CHUNK
    v = np.full((n, 1), 0.1, np.float32)
    weight = np.ones(n) if weighted else None
    exact = n * float(v[0, 0]) ** 2
    bound = CHUNK * 2.0**-24  # what the sum of one chunk may lose, however many chunks there are
    assert gram(v, weight)[0, 0] == pytest.approx(exact, rel=bound)
    assert cross(v, v, weight)[0, 0] == pytest.approx(exact, rel=bound)
    assert gram(v, weight)[1, 0] == pytest.approx(n * float(v[0, 0]), rel=1e-7)


@each_weighting
def test_narrow_sums_agree_with_wide_ones_and_have_the_type_of_the_data(weighted):
    v, u = normal(500, 6, dtype=np.float32), normal(500, 3, dtype=np.float32, seed=2)
    weight = row_weights(500, weighted)
    for narrow, wide in (
        (gram(v, weight, wide=False), gram(v, weight)),
        (cross(v, u, weight, wide=False), cross(v, u, weight)),
    ):
        assert narrow.dtype == np.float32
        assert wide.dtype == np.float64
        np.testing.assert_allclose(np.tril(narrow), np.tril(wide), rtol=1e-5, atol=1e-3)
    long = np.ones((CHUNK + 1, 2), np.float32)
    assert gram(long, None, wide=False).dtype == np.float64


@each_dtype
@pytest.mark.parametrize("n", [1, 2, 3, 40])
def test_eigenpairs_make_up_the_matrix_in_rising_order(dtype, n):
    matrix = normal(n, n, seed=n)
    matrix = (matrix @ matrix.T).astype(dtype)
    before = matrix.copy()
    values, vectors = all_eigenpairs(matrix)
    assert values.dtype == vectors.dtype == dtype
    assert (np.diff(values) >= 0).all()
    np.testing.assert_array_equal(matrix, before)
    tol = TOL[dtype] * values[-1]
    np.testing.assert_allclose((vectors * values) @ vectors.T, matrix, rtol=0, atol=tol)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(n), rtol=0, atol=10 * TOL[dtype])
    again, _ = all_eigenpairs(matrix, overwrite=True)
    np.testing.assert_array_equal(again, values)


@each_dtype
@pytest.mark.parametrize(("n", "count"), [(1, 1), (2, 1), (3, 3), (40, 16)])
def test_the_largest_eigenpairs_are_the_last_of_all(dtype, n, count):
    matrix = normal(n, n, seed=n)
    matrix = (matrix @ matrix.T).astype(dtype)
    before = matrix.copy()
    values, vectors = largest_eigenpairs(matrix, count)
    assert values.dtype == vectors.dtype == dtype
    assert vectors.shape == (n, count)
    np.testing.assert_array_equal(matrix, before)
    tol = 10 * TOL[dtype] * values[-1]
    np.testing.assert_allclose(values, all_eigenpairs(matrix)[0][n - count :], rtol=0, atol=tol)
    np.testing.assert_allclose(matrix @ vectors, vectors * values, rtol=0, atol=tol)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(count), rtol=0, atol=10 * TOL[dtype])


def test_the_largest_eigenpairs_of_a_matrix_with_nan_are_refused():
    with pytest.raises(ValueError, match="infs or NaNs"):
        largest_eigenpairs(np.full((3, 3), np.nan), 1)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_factorisations_make_up_the_matrix(n):
    square = normal(n, n, seed=n)
    matrix = square @ square.T + np.eye(n)
    before = matrix.copy()
    upper = upper_cholesky(matrix)
    np.testing.assert_array_equal(upper, np.triu(upper))
    np.testing.assert_allclose(upper.T @ upper, matrix, rtol=0, atol=1e-10)
    np.testing.assert_allclose(cholesky_inverse(matrix) @ matrix, np.eye(n), rtol=0, atol=1e-9)
    np.testing.assert_array_equal(matrix, before)
    general = square + 5 * np.sqrt(n) * np.eye(n)
    np.testing.assert_allclose(general_inverse(general) @ general, np.eye(n), rtol=0, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5)])
def test_reduced_qr_is_orthonormal_and_triangular(shape):
    matrix = normal(*shape)
    q, r = reduced_qr(matrix)
    assert q.shape == (shape[0], min(shape))
    np.testing.assert_allclose(q.T @ q, np.eye(min(shape)), atol=1e-12)
    np.testing.assert_array_equal(r, np.triu(r))
    np.testing.assert_allclose(q @ r, matrix, atol=1e-12)


@pytest.mark.parametrize("factorise", [upper_cholesky, cholesky_inverse])
def test_an_indefinite_matrix_has_no_cholesky_factor(factorise):
    with pytest.raises(np.linalg.LinAlgError):
        factorise(np.diag([1.0, -1.0]))
