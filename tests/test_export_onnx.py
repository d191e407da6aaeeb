"""ONNX models compute in ONNX Runtime what predict computes, and are small."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest
from deployed import (
    ARCHITECTURES,
    classifier,
    image_classifier,
    image_weights,
    images,
    matrices,
    regressor,
    rows,
)
from sklearn.datasets import make_classification
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbcd import BCDClassifier, BCDRegressor
from fastbcd.export import to_onnx
from fastbcd.network.layers.activations import ALL_ACTIVATIONS

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")

DTYPES = [np.float32, np.float64]


def run(model, x, optimised_path=None):
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    if optimised_path is not None:
        options.optimized_model_filepath = str(optimised_path)
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(
        zip(
            [output.name for output in session.get_outputs()],
            session.run(None, {"X": x}),
            strict=True,
        )
    )


def tolerance(dtype):
    return {"rtol": 1e-5, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-12}


def check_classifier(clf, x, dtype=np.float32, accurate=None):
    found = run(clf.to_onnx(), x)
    assert found["probabilities"].dtype == dtype
    np.testing.assert_allclose(
        found["probabilities"], clf.predict_proba(x), **tolerance(accurate or dtype)
    )
    np.testing.assert_array_equal(found["label"], clf.predict(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", matrices())
def test_every_format_decodes_to_the_same_outputs(name, dtype):
    check_classifier(classifier(matrices(dtype)[name]), rows(dtype=dtype), dtype)


@pytest.mark.parametrize("name", matrices())
def test_a_runtime_folds_all_decoding_into_products(name, tmp_path):
    run(classifier(matrices()[name]).to_onnx(), rows(), tmp_path / "optimised.onnx")
    nodes = onnx.load(tmp_path / "optimised.onnx").graph.node
    used = {node.op_type for node in nodes}
    assert used <= {"Gemm", "FusedGemm", "MatMul", "Relu", "Softmax", "ArgMax", "Gather"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_every_activation(activation, dtype):
    first = matrices(dtype)["sparse"]
    x = 3 * rows(dtype=dtype)
    reg = regressor(first, n_out=2, activation=activation, flat=False)
    # The error function is computed in single precision.
    accurate = np.float32 if activation == "gelu" else dtype
    np.testing.assert_allclose(
        run(reg.to_onnx(), x)["variable"], reg.predict(x), **tolerance(accurate)
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("multilabel", [False, True])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared", "hinge"])
def test_every_loss(loss, multilabel, dtype):
    clf = classifier(matrices(dtype)["dense"], multilabel=multilabel, loss=loss)
    if multilabel:
        clf.classes_ = np.arange(3)
    # Rows far away have outputs that are all clipped.
    check_classifier(clf, np.vstack([scale * rows(dtype=dtype) for scale in (0.1, 1, 10)]), dtype)


@pytest.mark.parametrize(
    "classes",
    [(0, 1), (7, -3, 5, 2), ("no", "yes"), (0.5, 1.5, 2.5), (False, True), ("ä", "b", "日本")],
    ids=str,
)
def test_labels_of_every_kind(classes):
    clf = classifier(classes=sorted(classes))
    check_classifier(clf, rows())


def test_labels_that_are_strings_as_objects():
    clf = classifier()
    clf.classes_ = clf.classes_.astype(object)
    check_classifier(clf, rows())


def test_labels_that_onnx_lacks_are_refused():
    clf = classifier()
    clf.classes_ = np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "datetime64[D]")
    with pytest.raises(ValueError, match="no labels of type datetime64"):
        clf.to_onnx()


def test_a_flat_regressor_has_one_column():
    reg = regressor()
    found = run(reg.to_onnx(), rows())["variable"]
    assert found.shape == (64, 1)
    np.testing.assert_allclose(found[:, 0], reg.predict(rows()), rtol=1e-5, atol=1e-6)


def test_any_number_of_rows():
    clf = classifier()
    model = clf.to_onnx()
    for n in (1, 3, 500):
        assert run(model, rows(n))["label"].shape == (n,)


@pytest.mark.parametrize("opset", [13, 15, 18, 21])
def test_every_opset_from_13(opset):
    clf = classifier(matrices()["sum of three"], loss="squared", activation="leaky_relu")
    model = clf.to_onnx(target_opset=opset)
    assert [entry.version for entry in model.opset_import] == [opset]
    np.testing.assert_allclose(
        run(model, rows())["probabilities"], clf.predict_proba(rows()), atol=1e-5
    )


@pytest.mark.parametrize("opset", [12, 1000, "new"])
def test_an_opset_that_will_not_do_is_refused(opset):
    with pytest.raises(ValueError, match="target_opset"):
        classifier().to_onnx(target_opset=opset)


def test_the_file_is_what_is_returned(tmp_path):
    model = classifier().to_onnx(tmp_path / "net.onnx")
    assert onnx.load(tmp_path / "net.onnx") == model
    assert os.listdir(tmp_path) == ["net.onnx"]


def test_a_sparse_net_on_a_codebook_is_small():
    shape = (784, 300)
    first = matrices(shape=shape)["codebook sparse of 16"]
    size = len(classifier(first).to_onnx().SerializeToString())
    # A byte for each gap, half a byte for each code, the rest dense.
    n = first.codes.size
    assert size < 1.5 * n + 4 * (300 + 3 * 300) + 3000
    assert size < 0.08 * 4 * 784 * 300


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_convolutions_and_poolings(name, dtype):
    check_classifier(image_classifier(ARCHITECTURES[name], dtype=dtype), images(dtype=dtype), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [name for name in ALL_ACTIVATIONS if name != "relu"])
def test_convolutions_with_other_activations(activation, dtype):
    # SiLU and GELU do not rise everywhere: a maximum after them is not one before them.
    clf = image_classifier(ARCHITECTURES["both"], dtype=dtype, activation=activation)
    accurate = np.float32 if activation == "gelu" else dtype
    check_classifier(clf, 3 * images(dtype=dtype), dtype, accurate)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", image_weights())
def test_convolutions_stay_compressed_in_the_file_and_are_decoded_once(name, dtype, tmp_path):
    clf = image_classifier(ARCHITECTURES["both"], image_weights()[name], dtype=dtype)
    check_classifier(clf, images(dtype=dtype), dtype)
    dense = [layer.weight.to_dense() for layer in clf.network_.layers[:-1]]
    model = clf.to_onnx()
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    assert not any(np.array_equal(s.ravel(), d.ravel()) for s in stored for d in dense)
    run(model, images(dtype=dtype), tmp_path / "optimised.onnx")
    used = {node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node}
    assert not used & {"Cast", "CumSum", "ScatterElements", "Div", "Mod", "Where"}


def test_low_rank_convolutions_are_two_thin_ones():
    clf = image_classifier(ARCHITECTURES["strided"], image_weights()["low rank"])
    convolutions = [node for node in clf.to_onnx().graph.node if node.op_type == "Conv"]
    kernels = [
        list(attribute.ints)
        for node in convolutions
        for attribute in node.attribute
        if attribute.name == "kernel_shape"
    ]
    assert kernels == [[2, 3], [1, 1]]


def test_images_are_turned_around_once():
    ops = [node.op_type for node in image_classifier(ARCHITECTURES["both"]).to_onnx().graph.node]
    between = ops[ops.index("AveragePool") : len(ops) - ops[::-1].index("Conv")]
    assert ops.count("Conv") == 2
    assert between.count("Transpose") == 1  # of the weights


@pytest.mark.parametrize("opset", [13, 21])
@pytest.mark.parametrize("dtype", DTYPES)
def test_convolutions_with_old_and_new_operators(opset, dtype):
    clf = image_classifier(ARCHITECTURES["both"], dtype=dtype)
    x = images(dtype=dtype)
    found = run(clf.to_onnx(target_opset=opset), x)["probabilities"]
    np.testing.assert_allclose(found, clf.predict_proba(x), **tolerance(dtype))


def test_other_objects_are_refused():
    with pytest.raises(TypeError, match="not StandardScaler"):
        to_onnx(StandardScaler())
    with pytest.raises(TypeError, match="ends in StandardScaler"):
        to_onnx(make_pipeline(StandardScaler()))


@pytest.fixture(scope="module")
def problem():
    X, y = make_classification(400, 10, n_informative=6, n_classes=3, random_state=0)
    return X.astype(np.float32), y


def skl(function, *args):
    """skl2onnx calls what newer libraries deprecate."""
    pytest.importorskip("skl2onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args)


@pytest.mark.parametrize("labels", [int, str])
def test_a_pipeline_of_a_classifier(problem, labels, tmp_path):
    X, y = problem
    pipe = make_pipeline(StandardScaler(), BCDClassifier((20,), random_state=0, max_iter=30, tol=1))
    pipe.fit(X, y.astype(labels))
    found = run(skl(to_onnx, pipe, tmp_path / "pipe.onnx"), X)
    np.testing.assert_array_equal(found["label"], pipe.predict(X))
    np.testing.assert_allclose(found["probabilities"], pipe.predict_proba(X), atol=1e-5)
    assert (tmp_path / "pipe.onnx").exists()


def test_a_pipeline_of_a_regressor(problem):
    X, y = problem
    pipe = make_pipeline(StandardScaler(), BCDRegressor((20,), random_state=0, max_iter=30, tol=1))
    pipe.fit(X, np.c_[y, X[:, 0]])
    found = run(skl(to_onnx, pipe), X)
    np.testing.assert_allclose(found["variable"], pipe.predict(X), rtol=1e-4, atol=1e-5)


def test_a_pipeline_in_double_precision(problem):
    X, y = (part.astype(np.float64) for part in problem)
    pipe = make_pipeline(StandardScaler(), BCDClassifier((20,), random_state=0, max_iter=30, tol=1))
    pipe.fit(X, y.astype(int))
    found = run(skl(to_onnx, pipe), X)
    np.testing.assert_allclose(found["probabilities"], pipe.predict_proba(X), atol=1e-11)


def test_a_pipeline_of_convolutions():
    clf = image_classifier(ARCHITECTURES["same"])
    x = 2 * images() + 1
    pipe = make_pipeline(StandardScaler().fit(x), clf)
    found = run(skl(to_onnx, pipe), x)
    np.testing.assert_allclose(found["probabilities"], pipe.predict_proba(x), atol=1e-5)


def test_skl2onnx_converts_once_registered(problem):
    skl2onnx = pytest.importorskip("skl2onnx")
    from fastbcd.export.skl2onnx import register

    X, y = problem
    clf = BCDClassifier((20,), random_state=0, max_iter=30, tol=1).fit(X, y)
    register()
    model = skl(skl2onnx.to_onnx, clf, X[:1])
    # The default of skl2onnx: a dictionary for each row.
    found = run(model, X)
    assert found["output_probability"][0].keys() == {0, 1, 2}
    np.testing.assert_array_equal(found["output_label"], clf.predict(X))
