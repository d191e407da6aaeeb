"""The C header computes what Python computes, and is what an embedded compiler accepts."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from itertools import pairwise

import numpy as np
import pytest
import reference_int8
from deployed import ARCHITECTURES, image_classifier, image_weights, images
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.estimators.from_network import estimator_of
from fastbcd.export import to_c
from fastbcd.formats import (
    CodebookMatrix,
    CodebookSparseMatrix,
    CodebookTrainMatrix,
    DenseMatrix,
    LowRankMatrix,
    SparseMatrix,
    SumMatrix,
    TensorTrainMatrix,
)
from fastbcd.io.export.c.integers import integer_outputs
from fastbcd.io.export.c.quantise import quantise
from fastbcd.io.export.c.storage import MOST_BITS, smallest
from fastbcd.io.export.c.text import integer, real, string
from fastbcd.io.export.c.weights import affine_layers
from fastbcd.io.importing.source import Source
from fastbcd.layers import Conv2D, MaxPool2D
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.network import Layer, Network
from fastbcd.network.tasks import Classification, MultilabelClassification, Regression
from fastbcd.schemes import Prune, Quantize, TensorTrain
from fastbcd.schemes.nearest.trains import default_modes, train_ranks

# Networks of random weights have rows between two classes, which rounding moves to the other side.
pytestmark = pytest.mark.filterwarnings("ignore::fastbcd.exceptions.ExportWarning")

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
STRICTER = [*STRICT, "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Wdouble-promotion"]

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc")
needs_gxx = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++")
ARM = "arm-none-eabi-gcc"
needs_arm = pytest.mark.skipif(shutil.which(ARM) is None, reason=f"there is no {ARM}")

DRIVER = """\
#include <stdio.h>
#include "net.h"

int main(void)
{
    static float x[NET_N_FEATURES], outputs[NET_N_OUTPUTS], proba[NET_N_OUTPUTS];
    while (fread(x, sizeof(float), NET_N_FEATURES, stdin) == NET_N_FEATURES) {
        double predicted[NET_N_OUTPUTS] = {0};
        PREDICT
        net_outputs(x, outputs);
        for (int j = 0; j < NET_N_OUTPUTS; j++) {
            printf("%.17g %.9g %.9g ", predicted[j], (double)outputs[j], (double)proba[j]);
        }
        printf("\\n");
    }
    return 0;
}
"""

PREDICT = {
    "classes": "predicted[0] = net_predict(x); net_predict_proba(x, proba);",
    "labels": """\
uint8_t labels[NET_N_OUTPUTS];
        net_predict(x, labels);
        net_predict_proba(x, proba);
        for (int j = 0; j < NET_N_OUTPUTS; j++) {
            predicted[j] = labels[j];
        }""",
    "value": "predicted[0] = (double)net_predict(x);",
    "values": """\
float values[NET_N_OUTPUTS];
        net_predict(x, values);
        for (int j = 0; j < NET_N_OUTPUTS; j++) {
            predicted[j] = (double)values[j];
        }""",
}


def run(command, **options):
    done = subprocess.run(
        list(map(str, command)), capture_output=True, timeout=120, check=False, **options
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-4000:]
    return done.stdout


def build(folder, source, flags=STRICT, compiler="gcc", standard="-std=c99"):
    """Compile ``source`` with the header that lies in ``folder``; return the program."""
    suffix = ".cpp" if compiler == "g++" else ".c"
    path = folder / f"main{suffix}"
    path.write_text(source)
    run([compiler, standard, *flags, path, "-o", folder / "main", "-lm"])
    return folder / "main"


def compute(folder, kind, x, **options):
    """Return predictions, outputs and probabilities of the header in ``folder``, each (n, k)."""
    program = build(folder, DRIVER.replace("PREDICT", PREDICT[kind]), **options)
    printed = run([program], input=np.ascontiguousarray(x, np.float32).tobytes())
    rows = np.array([line.split() for line in printed.splitlines()], float)
    return rows[:, 0::3], rows[:, 1::3], rows[:, 2::3]


def compare(estimator, folder, kind, x, tol=1e-5, **options):
    """Write, compile and run the header, and compare it with Python."""
    to_c(estimator, folder / "net.h")
    predicted, outputs, proba = compute(folder, kind, x, **options)
    expected = estimator.network_.forward(np.asarray(x, np.float64))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(outputs, expected, rtol=tol, atol=tol * scale)
    truth = estimator.predict(x)
    if kind == "classes":
        truth = np.searchsorted(estimator.classes_, truth)
    if kind in ("classes", "labels"):
        np.testing.assert_array_equal(predicted[:, 0] if truth.ndim == 1 else predicted, truth)
        np.testing.assert_allclose(proba, estimator.predict_proba(x), rtol=1e-4, atol=2e-5)
    else:
        predicted = predicted if truth.ndim == 2 else predicted[:, 0]
        np.testing.assert_allclose(predicted, truth, rtol=tol, atol=tol * scale)


# Networks of every format, made without training


def few(rng, size, levels):
    return rng.integers(0, levels, size), np.sort(rng.normal(size=levels))


def sparse_parts(rng, shape, density=0.15):
    present = rng.random(shape) < density
    present[shape[0] // 3 : shape[0] // 2] = False  # empty rows
    rows, columns = np.nonzero(present)
    return rows.size, columns, np.bincount(rows, minlength=shape[0])


def dense(rng, shape):
    return DenseMatrix(rng.normal(size=shape))


def sparse(rng, shape):
    n, columns, lengths = sparse_parts(rng, shape)
    return SparseMatrix(rng.normal(size=n), columns, lengths, shape[1])


def low_rank(rng, shape):
    return LowRankMatrix(rng.normal(size=(shape[0], 3)), rng.normal(size=(3, shape[1])))


def tensor_train(rng, shape, rank=3):
    modes = default_modes(shape[0]) + default_modes(shape[1])
    ranks = train_ranks(modes, rank)
    cores = [rng.normal(size=(ranks[k], m, ranks[k + 1])) for k, m in enumerate(modes)]
    return TensorTrainMatrix(cores, shape)


def codebook(rng, shape, levels=16, scale=None):
    return CodebookMatrix(*few(rng, shape, levels), scale)


def scaled_codebook(rng, shape):
    return codebook(rng, shape, 5, rng.normal(size=shape[1]))


def constant_codebook(rng, shape):
    return codebook(rng, shape, 1)


def codebook_sparse(rng, shape, scale=None):
    n, columns, lengths = sparse_parts(rng, shape)
    return CodebookSparseMatrix(*few(rng, n, 11), columns, lengths, shape[1], scale)


def scaled_codebook_sparse(rng, shape):
    scale = rng.normal(size=shape[1])
    scale[0] = 0
    return codebook_sparse(rng, shape, scale)


def codebook_train(rng, shape):
    train = tensor_train(rng, shape)
    codes, levels = few(rng, sum(core.size for core in train.cores), 8)
    return CodebookTrainMatrix(codes, levels, train.modes, train.ranks, shape, 0.5)


def codebook_factors(rng, shape):
    codes, levels = few(rng, 4 * sum(shape), 4)
    return CodebookTrainMatrix(codes, levels, shape, (1, 4, 1), shape, 0.5)


def low_rank_plus_sparse(rng, shape):
    return SumMatrix([low_rank(rng, shape), codebook_sparse(rng, shape)])


def sum_of_all(rng, shape):
    parts = [sparse, tensor_train, scaled_codebook, scaled_codebook_sparse, low_rank]
    return SumMatrix([SumMatrix([part(rng, shape) for part in parts]), codebook(rng, shape)])


def empty(rng, shape):
    return SparseMatrix.from_dense(np.zeros(shape))


BUILDERS = [
    dense, sparse, low_rank, tensor_train, codebook, scaled_codebook, constant_codebook,
    codebook_sparse, scaled_codebook_sparse, codebook_train, codebook_factors,
    low_rank_plus_sparse, sum_of_all, empty,
]  # fmt: skip


def network(builder, activation, sizes=(24, 18, 20, 5), last="identity", seed=0):
    rng = np.random.default_rng(seed)
    names = [activation] * (len(sizes) - 2) + [last]
    layers = []
    for shape, name in zip(pairwise(sizes), names, strict=True):
        weight = builder(rng, shape)
        size = np.sqrt(np.square(weight.to_dense()).sum(axis=0).mean()) or 1.0
        layers.append(Layer(weight.scaled(1 / size), rng.normal(size=shape[1]) / 3, name))
    return Network(layers)


def classifier(net, labels=None, loss="auto", several=False):
    n_outputs = net.layers[-1].weight.shape[1]
    classes = Classification(np.arange(n_outputs) if labels is None else labels)
    task = MultilabelClassification(n_outputs) if several else classes
    return estimator_of(Source(net, task), net).set_params(loss=loss)


def regressor(net):
    n_outputs = net.layers[-1].weight.shape[1]
    return estimator_of(Source(net, Regression(n_outputs, flat=n_outputs == 1)), net)


def inputs(n=300, n_in=24, seed=1):
    rng = np.random.default_rng(seed)
    # Zeros are skipped in C: they must be among the inputs.
    return (rng.normal(size=(n, n_in)) * (rng.random((n, n_in)) < 0.7)).astype(np.float32)


# Storage


def unpack(storage):
    """Read a stream bit by bit: the obvious decoder."""
    bits = "".join(f"{byte:08b}"[::-1] for byte in storage.stream.tolist())
    at = 0

    def take(n):
        nonlocal at
        value = int(bits[at : at + n][::-1] or "0", 2)
        at += n
        return value

    n_in, n_out = storage.shape
    weight = np.zeros(n_in * n_out, storage.values.dtype)
    if storage.form == "dense":
        weight[:] = storage.values
    elif storage.form == "codes":
        weight[:] = [storage.values[take(storage.bits)] for _ in range(weight.size)]
    else:
        position = -1
        for index in range(storage.count):
            k, q = storage.gaps.k, 0
            position += 1
            while not take(1):
                q += 1
                position += 1 << k
                k += storage.gaps.growth
            assert k <= MOST_BITS
            position += take(k)
            with_codes = storage.form == "sparse_codes"
            weight[position] = storage.values[take(storage.bits) if with_codes else index]
    return weight.reshape(n_in, n_out)


@given(
    arrays(np.int8, st.tuples(st.integers(1, 9), st.integers(1, 40)), elements=st.integers(-3, 3)),
    st.floats(0, 1),
    st.integers(0, 2**32 - 1),
)
def test_what_is_stored_is_what_was_given(weight, density, seed):
    rng = np.random.default_rng(seed)
    for matrix in (weight, rng.normal(size=weight.shape).astype(np.float32)):
        matrix = matrix * (rng.random(weight.shape) < density)
        storage = smallest(matrix)
        np.testing.assert_array_equal(unpack(storage), matrix)
        assert storage.n_bytes <= matrix.nbytes


def test_all_forms_occur_and_the_smallest_is_taken():
    rng = np.random.default_rng(0)
    full = rng.normal(size=(60, 50)).astype(np.float32)
    coarse = np.rint(2 * full)
    kept = rng.random(full.shape) < 0.1
    found = {smallest(w).form for w in (full, coarse, full * kept, coarse * kept)}
    assert found == {"dense", "codes", "sparse", "sparse_codes"}


@pytest.mark.parametrize("density", [0.005, 0.02, 0.05, 0.1, 0.3])
def test_gaps_take_little_more_than_their_entropy(density):
    rng = np.random.default_rng(0)
    weight = (rng.random((400, 300)) < density).astype(np.float32)
    storage = smallest(weight)
    p = weight.mean()
    entropy = -(p * np.log2(p) + (1 - p) * np.log2(1 - p)) * weight.size / 8
    assert storage.form == "sparse_codes"
    assert entropy < storage.n_bytes < 1.06 * entropy + 16


def test_empty_rows_and_uneven_rows_cost_little():
    rng = np.random.default_rng(0)
    even = (rng.random((100, 300)) < 0.05).astype(np.float32)
    apart = np.zeros((700, 300), np.float32)
    apart[rng.choice(700, 100, replace=False)] = even
    # At most two and a half bits for each of the 600 rows.
    assert smallest(apart).n_bytes < smallest(even).n_bytes + 600 * 2.5 / 8


@pytest.mark.parametrize("gap", [0, 1, 25, 2**17 - 1, 2**20, 2**22 + 12345])
def test_gaps_of_any_length_are_written(gap):
    weight = np.zeros((1, gap + 2), np.int8)
    weight[0, gap], weight[0, -1] = 3, -3
    np.testing.assert_array_equal(unpack(smallest(weight)), weight)


# Float arithmetic


def outputs_of_all(networks, folder, x, **options):
    """Write a header for each network, compile them in one file, and return what they compute."""
    names = [f"n{number}" for number in range(len(networks))]
    for name, net in zip(names, networks, strict=True):
        to_c(regressor(net), folder / f"{name}.h", **options)
    program = build(
        folder,
        "#include <stdio.h>\n"
        + "".join(f'#include "{name}.h"\n' for name in names)
        + "int main(void)\n{\n    static float x[N0_N_FEATURES], outputs[N0_N_OUTPUTS];\n"
        "    while (fread(x, sizeof(float), N0_N_FEATURES, stdin) == N0_N_FEATURES) {\n"
        + "".join(
            f"        {name}_outputs(x, outputs);\n"
            "        fwrite(outputs, sizeof(float), N0_N_OUTPUTS, stdout);\n"
            for name in names
        )
        + "    }\n    return 0;\n}\n",
        STRICTER,
    )
    printed = run([program], input=np.ascontiguousarray(x, np.float32).tobytes())
    rows = np.frombuffer(printed, np.float32).reshape(len(x), len(networks), -1)
    return zip(networks, rows.swapaxes(0, 1), strict=True)


@needs_gcc
@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_every_format_with_every_activation_computes_what_python_computes(activation, tmp_path):
    x = inputs()
    networks = [network(builder, activation) for builder in BUILDERS]
    for net, outputs in outputs_of_all(networks, tmp_path, x):
        expected = net.forward(x.astype(np.float64))
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@needs_gcc
@pytest.mark.parametrize("builder", BUILDERS)
def test_every_format_classifies_as_python_does(builder, tmp_path):
    compare(classifier(network(builder, "relu")), tmp_path, "classes", inputs())


@needs_gcc
@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (2, 3), (37, 41), (300, 7)])
def test_one_layer_of_any_shape(shape, tmp_path):
    x = inputs(50, shape[0])
    networks = [network(builder, "identity", sizes=shape) for builder in BUILDERS]
    for net, outputs in outputs_of_all(networks, tmp_path, x):
        expected = net.forward(x.astype(np.float64))
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@needs_gcc
@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "hinge"])
@pytest.mark.parametrize("several", [False, True], ids=["classes", "labels"])
def test_every_loss_gives_python_s_predictions_and_probabilities(loss, several, tmp_path):
    estimator = classifier(network(sparse, "relu"), loss=loss, several=several)
    compare(estimator, tmp_path, "labels" if several else "classes", inputs(), flags=STRICTER)


@needs_gcc
@pytest.mark.parametrize("last", ALL_ACTIVATIONS)
def test_the_last_layer_may_have_an_activation(last, tmp_path):
    compare(regressor(network(dense, "relu", last=last)), tmp_path, "values", inputs())


@needs_gcc
def test_uniform_probabilities_where_no_class_is_likely(tmp_path):
    net = Network([Layer(DenseMatrix(np.eye(3)), np.zeros(3), "identity")])
    x = np.array([[-1, -2, -3], [-1, 5, -1], [0.2, 0.3, 0.1], [0, 0, 0]], np.float32)
    compare(classifier(net, loss="squared"), tmp_path, "classes", x)


@needs_gcc
def test_a_tie_goes_to_the_first_class_as_in_python(tmp_path):
    weight = np.repeat(np.random.default_rng(0).normal(size=(24, 3)), 2, axis=1)
    net = Network([Layer(DenseMatrix(weight), np.zeros(6), "identity")])
    estimator = classifier(net)
    compare(estimator, tmp_path, "classes", inputs())
    assert set(estimator.predict(inputs())) <= {0, 2, 4}


@needs_gcc
def test_trained_estimators(tmp_path):
    x, y = load_digits(return_X_y=True)
    scheme = {0: Prune(sparsity=0.8) + Quantize(bits=4), 1: TensorTrain(rank=3)}
    fitted = BCDClassifier((40, 30), scheme=scheme, max_iter=3, solver="minibatch", random_state=0)
    fitted.fit(x, y)
    fitted.to_c(tmp_path / "net.h")
    compare(fitted, tmp_path, "classes", x)
    target = np.c_[x[:, 20], 100 + 1e3 * x[:, 30]]
    several = BCDRegressor((20,), scheme=Prune(sparsity=0.5), max_iter=3, solver="minibatch")
    compare(several.fit(x, target), tmp_path, "values", x)


# Int8 arithmetic


@needs_gcc
@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_int8_does_the_arithmetic_that_is_documented(activation, tmp_path):
    sample, x = inputs(), 1.2 * inputs(seed=2)  # some are beyond the sample's range
    networks = [network(builder, activation) for builder in BUILDERS]
    found = outputs_of_all(networks, tmp_path, x, arithmetic="int8", X=sample)
    for net, outputs in found:
        layers = affine_layers(net, cores=False, allow_dense=False)
        integers = quantise(layers, sample.astype(np.float64))
        expected = reference_int8.outputs(integers, x)
        np.testing.assert_allclose(outputs, expected, rtol=1e-6)
        np.testing.assert_array_equal(integer_outputs(integers, x), expected)


@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
@pytest.mark.parametrize("builder", [b for b in BUILDERS if b is not empty])
def test_int8_is_close_to_floating_point(builder, activation):
    net = network(builder, activation)
    x = inputs(1000).astype(np.float64)
    layers = affine_layers(net, cores=False, allow_dense=False)
    outputs = reference_int8.outputs(quantise(layers, x), x)
    expected = net.forward(x)
    error = np.sqrt(np.mean((outputs - expected) ** 2)) / np.std(expected)
    # These two fall and rise: argument and value are rounded to 8 bits each, and neither is a clip.
    assert error < (0.06 if activation in ("silu", "gelu") else 0.05)


@pytest.mark.parametrize("coded", [False, True])
def test_int8_clips_large_weights_of_inputs_that_are_always_zero(coded):
    rng = np.random.default_rng(0)
    small = np.linspace(-0.03, 0.03, 15) if coded else rng.normal(size=12_000) / 50
    weight = rng.choice(small, (400, 30)) * (rng.random((400, 30)) < 0.1)
    weight[:10] = 30.0
    net = Network([Layer(SparseMatrix.from_dense(weight), rng.normal(size=30) / 10, "identity")])
    x = rng.random((500, 400))
    x[:, :10] = 0
    layers = affine_layers(net, cores=False, allow_dense=False)
    outputs = reference_int8.outputs(quantise(layers, x), x)
    expected = net.forward(x)
    assert np.sqrt(np.mean((outputs - expected) ** 2)) < 0.05 * np.std(expected)


@pytest.mark.parametrize("intercept", [0.0, 1e3, 1e9])
def test_int8_sums_do_not_overflow(intercept):
    rng = np.random.default_rng(0)
    weight = np.abs(rng.normal(size=(40_000, 3)))
    weight[:, 2] = 1e-9
    net = Network([Layer(DenseMatrix(weight), np.full(3, intercept), "identity")])
    x = np.ones((2, 40_000))
    layers = affine_layers(net, cores=False, allow_dense=False)
    # The twin checks every sum; all inputs and weights at their largest are the worst case.
    outputs = reference_int8.outputs(quantise(layers, x), x)
    np.testing.assert_allclose(outputs, net.forward(x), rtol=0.01)


@needs_gcc
def test_int8_agrees_on_digits(tmp_path):
    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.4, random_state=0)
    fitted = BCDClassifier(
        (48, 32), scheme=Prune(sparsity=0.7), solver="minibatch", max_iter=30, random_state=0
    ).fit(x_train, y_train)
    to_c(fitted, tmp_path / "net.h", arithmetic="int8", X=x_train)
    predicted, _, proba = compute(tmp_path, "classes", x_test)
    truth = fitted.predict(x_test)
    assert np.mean(predicted[:, 0] == truth) >= 0.99
    assert abs(np.mean(predicted[:, 0] == y_test) - np.mean(truth == y_test)) <= 0.01
    assert np.abs(proba - fitted.predict_proba(x_test)).max() < 0.2


def test_int8_keeps_a_codebook_and_needs_a_quarter_of_the_floats(tmp_path):
    estimator = classifier(network(dense, "relu", sizes=(60, 50, 40, 5)))
    sizes = []
    for arithmetic in ("float", "int8"):
        to_c(estimator, tmp_path / "net.h", arithmetic=arithmetic, X=inputs(20, 60))
        sizes.append(macro(tmp_path, "TABLE_BYTES"))
    assert sizes[1] < 0.3 * sizes[0]
    coded = affine_layers(network(codebook, "relu"), cores=False, allow_dense=False)
    for layer in quantise(coded, inputs().astype(np.float64)).layers:
        assert np.unique(layer.parts[0][0].weight).size <= 16


# Images


def outputs_of_images(networks, folder, x):
    for net, outputs in outputs_of_all([clf.network_ for clf in networks], folder, x):
        expected = net.forward(x.astype(net.layers[0].weight.dtype))
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@needs_gcc
def test_convolutions_and_poolings_compute_what_python_computes(tmp_path):
    networks = [
        image_classifier(hidden, dtype=dtype)
        for hidden in ARCHITECTURES.values()
        for dtype in (np.float32, np.float64)
    ]
    outputs_of_images(networks, tmp_path, images(300))


@needs_gcc
@pytest.mark.parametrize("name", ["both", "padded, strided", "maxima that lose pixels"])
def test_convolutions_of_every_format_compute_what_python_computes(name, tmp_path):
    networks = [
        image_classifier(ARCHITECTURES[name], weight, dtype=np.float64, activation=activation)
        for weight in image_weights().values()
        for activation in ("leaky_relu", "tanh", "gelu")
    ]
    outputs_of_images(networks, tmp_path, images(200))


@needs_gcc
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_images_are_classified_as_python_does_and_the_sanitizers_find_nothing(name, tmp_path):
    clf = image_classifier(ARCHITECTURES[name], image_weights()["sum"], dtype=np.float64)
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    compare(clf, tmp_path, "classes", images(100), flags=[*STRICT, *flags])


@needs_gxx
def test_the_header_of_images_is_also_cpp(tmp_path):
    to_c(image_classifier(ARCHITECTURES["both"], image_weights()["sum"]), tmp_path / "net.h")
    build(tmp_path, DRIVER.replace("PREDICT", PREDICT["classes"]), STRICT, "g++", "-std=c++98")


def test_weights_of_convolutions_stay_compressed_and_few_numbers_are_kept(tmp_path):
    to_c(image_classifier((Conv2D(20, 3), MaxPool2D(2))), tmp_path / "net.h")
    dense = macro(tmp_path, "TABLE_BYTES")
    to_c(
        image_classifier((Conv2D(20, 3), MaxPool2D(2)), image_weights()["codebook"]),
        tmp_path / "net.h",
    )
    # 360 weights: 4 bytes each, or 3 bits, 5 levels and 20 scales.
    assert dense - macro(tmp_path, "TABLE_BYTES") == 1440 - (360 * 3 / 8 + 3 + 20 + 80)
    # A row of 6 pixels, the maxima of 3 x 3 windows, and outputs.
    assert macro(tmp_path, "RAM_BYTES") == 4 * 20 * (6 + 9) + 4 * 3


def test_integers_for_images_are_refused_with_a_way_out(tmp_path):
    clf = image_classifier(ARCHITECTURES["means, then dense"])
    with pytest.raises(ValueError, match=r'layer 0, which is a convolution.*arithmetic="float"'):
        to_c(clf, tmp_path / "net.h", arithmetic="int8", X=images())
    assert not list(tmp_path.iterdir())


# What compilers and users see


def macro(folder, name):
    return int(re.search(rf"#define NET_{name} (\d+)\n", (folder / "net.h").read_text())[1])


@needs_gcc
@pytest.mark.parametrize("arithmetic", ["float", "int8"])
def test_sizes_are_those_that_the_header_states(arithmetic, tmp_path):
    estimator = classifier(network(low_rank_plus_sparse, "relu", sizes=(40, 300, 90, 5)))
    to_c(estimator, tmp_path / "net.h", arithmetic=arithmetic, X=inputs(30, 40))
    source = '#include "net.h"\nint f(const float *x);\nint f(const float *x)'
    (tmp_path / "main.c").write_text(f"{source} {{ return net_predict(x); }}\n")
    run(["gcc", "-std=c99", "-Os", *STRICT, "-c", tmp_path / "main.c", "-o", tmp_path / "main.o"])
    printed = run(["size", "-A", tmp_path / "main.o"]).decode()
    size = {name: sum(int(n) for n in re.findall(rf"^\.{name}\S* +(\d+)", printed, re.MULTILINE))
            for name in ("text", "rodata", "data", "bss")}  # fmt: skip
    tables, ram = macro(tmp_path, "TABLE_BYTES"), macro(tmp_path, "RAM_BYTES")
    # Alignment adds some bytes to each of a dozen tables.
    assert tables <= size["rodata"] <= tables + 600
    assert ram <= size["bss"] <= ram + 150
    assert size["data"] == 0
    assert size["text"] < 2500


@needs_gxx
@pytest.mark.parametrize("arithmetic", ["float", "int8"])
@pytest.mark.parametrize("standard", ["-std=c++98", "-std=c++17"])
def test_the_header_is_also_cpp(arithmetic, standard, tmp_path):
    estimator = classifier(network(sum_of_all, "leaky_relu"), ["a", "b", "c", "d", "e"])
    to_c(estimator, tmp_path / "net.h", arithmetic=arithmetic, X=inputs())
    build(tmp_path, DRIVER.replace("PREDICT", PREDICT["classes"]), STRICT, "g++", standard)


@needs_gcc
@pytest.mark.parametrize("arithmetic", ["float", "int8"])
@pytest.mark.parametrize("builder", [sum_of_all, empty, constant_codebook])
def test_the_sanitizers_find_nothing(builder, arithmetic, tmp_path):
    estimator = classifier(network(builder, "tanh"))
    to_c(estimator, tmp_path / "net.h", arithmetic=arithmetic, X=inputs())
    x = inputs(40)
    x[0] = np.nan
    x[1], x[2] = np.inf, -3e38
    flags = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    compute(tmp_path, "classes", x, flags=[*STRICT, *flags])


@needs_gcc
def test_two_networks_and_stack_buffers_in_one_file(tmp_path):
    for name in ("one", "two"):
        to_c(regressor(network(low_rank, "relu", sizes=(3, 4, 1))), tmp_path / f"{name}.h")
    build(
        tmp_path,
        "#define ONE_BUFFER\n"
        '#include "one.h"\n#include "two.h"\n#include "one.h"\n'
        "int main(void)\n{\n    const float x[3] = {1, 2, 3};\n"
        "    return one_predict(x) != two_predict(x);\n}\n",
    )
    run([tmp_path / "main"])


@needs_gcc
@pytest.mark.parametrize("kind", ["classes", "labels", "value", "values"])
@pytest.mark.parametrize(
    ("arithmetic", "sample"), [("float", True), ("float", False), ("int8", True)]
)
def test_the_example_in_the_comment_prints_what_it_says(kind, arithmetic, sample, tmp_path):
    net = network(dense, "relu", sizes=(24, 20, 1 if kind == "value" else 4))
    numbers = kind.startswith("value")
    estimator = regressor(net) if numbers else classifier(net, several=kind == "labels")
    to_c(estimator, tmp_path / "my-net.h", X=inputs() if sample else None, arithmetic=arithmetic)
    text = (tmp_path / "my-net.h").read_text()
    program = re.search(r" \*     #include <stdio.h>\n( \*.*\n)+? \*     }\n", text)[0]
    source = "".join(line[7:] + "\n" for line in program.splitlines())
    assert '#include "my-net.h"' in source
    build(tmp_path, source)
    printed = run([tmp_path / "main"]).decode().strip()
    promised = re.search(r'prints "(.*)"', text)[1]
    if arithmetic == "float":
        assert printed == promised
    else:
        numbers = [[float(n) for n in re.findall(r"-?\d+\.?\d*", t)] for t in (printed, promised)]
        np.testing.assert_allclose(*numbers, rtol=0.1, atol=0.05)


LABELS = {
    "strings": ['a"b', "back\\slash", "??/", "*/", "@name", "", "ünïcode 猫", "a\nb\0"],
    "integers": [-(2**31), -5, 0, 7, 2**31 - 1],
    "large integers": [-(2**63), 0, 2**63 - 1],
    "unsigned": np.array([0, 2**64 - 1], np.uint64),
    "floats": [0.1, 1.5, 1e300],
    "booleans": [False, True],
}


@needs_gcc
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS)
def test_labels_survive(labels, tmp_path):
    labels = np.unique(np.array(labels, object if isinstance(labels[0], str) else None))
    net = network(dense, "relu", sizes=(4, 3, len(labels)))
    to_c(classifier(net, labels), tmp_path / "net.h")
    show = {
        "O": "for (const char *s = net_classes[i]; ; s++) "
        '{ printf("%02x", (unsigned)(unsigned char)*s); if (!*s) break; }',
        "f": 'printf("%.17g", net_classes[i]);',
        "u": 'printf("%llu", (unsigned long long)net_classes[i]);',
    }.get(labels.dtype.kind, 'printf("%lld", (long long)net_classes[i]);')
    build(
        tmp_path,
        '#include <stdio.h>\n#include "net.h"\nint main(void)\n{\n'
        f'    for (int i = 0; i < NET_N_CLASSES; i++) {{ {show} printf("\\n"); }}\n'
        "    return 0;\n}\n",
    )
    printed = run([tmp_path / "main"]).decode().split("\n")[:-1]
    if labels.dtype.kind == "O":
        # A C string ends at the first null.
        expected = [(label.encode() + b"\0").split(b"\0")[0].hex() + "00" for label in labels]
        assert printed == expected
    elif labels.dtype.kind == "f":
        assert [float(text) for text in printed] == labels.tolist()
    else:
        assert [int(text) for text in printed] == [int(label) for label in labels]


@needs_arm
@pytest.mark.parametrize("arithmetic", ["float", "int8"])
@pytest.mark.parametrize("cpu", ["cortex-m0", "cortex-m4"])
def test_it_compiles_for_microcontrollers(cpu, arithmetic, tmp_path):
    estimator = classifier(network(sum_of_all, "relu"))
    to_c(estimator, tmp_path / "net.h", arithmetic=arithmetic, X=inputs())
    path = tmp_path / "main.c"
    path.write_text('#include "net.h"\nint f(const float *);\n'
                    "int f(const float *x) { return net_predict(x); }\n")  # fmt: skip
    flags = [f"-mcpu={cpu}", "-mthumb", "-Os", *STRICT, "-Wdouble-promotion"]
    run([ARM, "-std=c99", *flags, "-c", path, "-o", tmp_path / "main.o"])


def test_literals():
    rng = np.random.default_rng(0)
    values = np.r_[rng.normal(size=500), 10.0 ** rng.uniform(-45, 38, 500), 0, -0.0, 1, 1e10, 3e38]
    for value in values.astype(np.float32):
        text = real(value)
        assert text.endswith("f")
        assert "." in text or "e" in text
        assert np.float32(text[:-1]) == value
    assert string('a"1\\') == '"a\\0421\\134"'
    assert integer(-(2**31)) == "(-2147483647 - 1)"


def test_the_same_network_gives_the_same_text(tmp_path):
    estimator = classifier(network(sum_of_all, "relu"))
    for name in ("a", "b"):
        to_c(estimator, tmp_path / f"{name}.h", name="net")
    a, b = ((tmp_path / f"{name}.h").read_text() for name in ("a", "b"))
    assert a.replace('"a.h"', "") == b.replace('"b.h"', "")
    assert max(map(len, a.splitlines())) <= 110


def test_float32_and_float64_networks_write_the_same_tables(tmp_path):
    net = network(sparse, "relu")
    single = Network([
        Layer(SparseMatrix.from_dense(layer.weight.to_dense().astype(np.float32)),
              layer.intercept.astype(np.float32), layer.activation)
        for layer in net.layers
    ])  # fmt: skip
    texts = []
    for made in (net, single):
        to_c(classifier(made), tmp_path / "net.h")
        texts.append((tmp_path / "net.h").read_text().partition("#ifndef")[2])
    assert texts[0] == texts[1]


@needs_gcc
@pytest.mark.parametrize("builder", [codebook, codebook_sparse])
def test_one_scale_for_all_columns_takes_no_table(builder, tmp_path):
    weight = builder(np.random.default_rng(0), (24, 18), scale=np.full(18, -0.3))
    net = Network([Layer(weight, np.zeros(18), "identity")])
    compare(regressor(net), tmp_path, "values", inputs())
    assert "scale" not in (tmp_path / "net.h").read_text()


def test_tables_that_are_equal_are_written_once(tmp_path):
    layer = network(codebook, "relu", sizes=(20, 20)).layers[0]
    to_c(regressor(Network([layer] * 3)), tmp_path / "net.h")
    tables = (tmp_path / "net.h").read_text().partition("#ifndef")[2]
    assert tables.count("static const float") == 2  # levels and intercepts


# Bad input


@pytest.fixture
def fitted():
    return classifier(network(dense, "relu"))


@pytest.mark.parametrize(
    ("name", "mend"),
    [
        ("my-net", "my_net"),
        ("1st", "net_1st"),
        ("", "net"),
        ("a__b", "a_b"),
        ("_hidden", "hidden"),
        ("naïve", "na_ve"),
        ("x" * 50, "x" * 40),
        ("a b;system()", "a_b_system"),
        ("net\n", "net"),
        (7, "net_7"),
    ],
)
def test_a_name_that_c_cannot_have_is_refused_with_one_that_it_can(name, mend, fitted, tmp_path):
    with pytest.raises(ValueError, match=rf"name must be a C identifier.*Try '{mend}'\."):
        to_c(fitted, tmp_path / "net.h", name=name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("file", "prefix"), [("my-net.h", "my_net"), ("2.h", "net_2"), ("é.h", "net"), ("w", "w")]
)
def test_the_name_is_made_of_the_file_s(file, prefix, fitted, tmp_path):
    to_c(fitted, str(tmp_path / file))
    assert f"int {prefix}_predict(const float *x)" in (tmp_path / file).read_text()


def test_a_file_name_cannot_end_the_comment(fitted, tmp_path):
    to_c(fitted, tmp_path / "a*\n#error.h")
    assert "#error" not in (tmp_path / "a*\n#error.h").read_text()


def test_what_cannot_be_written_is_refused(fitted, tmp_path):
    path = tmp_path / "net.h"
    with pytest.raises(TypeError, match=r"LogisticRegression in C.*fastbcd\.compress"):
        to_c(LogisticRegression(), path)
    with pytest.raises(NotFittedError):
        to_c(BCDClassifier(), path)
    with pytest.raises(ValueError, match="arithmetic must be one of 'float', 'int8'; got 'int4'"):
        to_c(fitted, path, arithmetic="int4")
    with pytest.raises(ValueError, match="needs X, rows like those"):
        to_c(fitted, path, arithmetic="int8")
    with pytest.raises(ValueError, match="features"):
        to_c(fitted, path, X=inputs(5, 23))
    assert not path.exists()


def test_a_format_that_has_no_form_in_c_is_named_or_written_in_full(tmp_path):
    class Mystery(DenseMatrix):
        pass

    def mystery(rng, shape):
        return TensorTrainMatrix([rng.normal(size=(1, shape[0] * shape[1], 1))], shape)

    path = tmp_path / "net.h"
    net = network(dense, "relu")
    across = Network([net.layers[0], network(mystery, "relu").layers[1], net.layers[2]])
    with pytest.raises(ValueError, match=r"Layer 1 \(18x20, tensor_train\).*allow_dense=True"):
        to_c(classifier(across), path)
    assert not path.exists()
    to_c(classifier(across), path, allow_dense=True)
    assert path.exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
@pytest.mark.parametrize("where", ["weight", "intercept"])
def test_numbers_beyond_single_precision_are_refused(value, where, tmp_path):
    net = network(dense, "relu")
    layer = net.layers[1]
    (layer.weight.weight if where == "weight" else layer.intercept)[0] = value
    with pytest.raises(ValueError, match=r"Layer 1 .*single precision.*StandardScaler"):
        to_c(classifier(net), tmp_path / "net.h")


def test_a_failure_leaves_the_old_file(fitted, tmp_path, monkeypatch):
    path = tmp_path / "net.h"
    path.write_text("old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        to_c(fitted, path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["net.h"]
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match="missing"):
        to_c(fitted, tmp_path / "missing" / "net.h")
