"""A copy of an estimator, however it was made, is the original in all that it does."""

from __future__ import annotations

import copy
import functools
import pickle

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits

from fastbcd import BCDClassifier
from fastbcd.layers import Conv2D, MaxPool2D
from fastbcd.schemes import Prune

X, y = load_digits(return_X_y=True)
X = np.ascontiguousarray(X / 16)
FEW = slice(0, 300)


def joblib_file(model, folder, mode=None):
    joblib.dump(model, folder / "model.joblib")
    return joblib.load(folder / "model.joblib", mmap_mode=mode)


def other_process(model, folder):
    # Arrays above a few bytes come back as read-only memory maps, as large ones do by default.
    parallel = joblib.Parallel(n_jobs=2, max_nbytes=100, temp_folder=folder)
    return parallel(joblib.delayed(copy.copy)(model) for _ in range(2))[0]


COPIES = {
    "pickle": lambda model, folder: pickle.loads(pickle.dumps(model)),
    "oldest pickle": lambda model, folder: pickle.loads(pickle.dumps(model, protocol=2)),
    "deepcopy": lambda model, folder: copy.deepcopy(model),
    "joblib": joblib_file,
    "mapped": lambda model, folder: joblib_file(model, folder, "r"),
    "n_jobs=2": other_process,
}


def dense():
    return BCDClassifier((48, 24), random_state=0, max_iter=3, solver="minibatch").fit(
        X[FEW], y[FEW]
    )


def pruned():
    model = BCDClassifier((32,), random_state=0, scheme=Prune(sparsity=0.8))
    return model.partial_fit(X[FEW], y[FEW], classes=range(10))


def stream():
    return BCDClassifier((32,), random_state=0).partial_fit(X[FEW], y[FEW], classes=range(10))


def images():
    layers = (Conv2D(4, kernel_size=3), MaxPool2D(2), 16)
    return BCDClassifier(
        layers, input_shape=(8, 8, 1), random_state=0, max_iter=2, solver="minibatch"
    ).fit(X[FEW], y[FEW])


def coefs(model):
    return np.concatenate([part.ravel() for part in (*model.coefs_, *model.intercepts_)])


def learn(model, folder):
    for lo in range(300, 900, 150):
        model.partial_fit(X[lo : lo + 150], y[lo : lo + 150])
    return coefs(model)


def written(write, name):
    def run(model, folder):
        write(model, folder / name)
        return (folder / name).read_bytes()

    return run


OPERATIONS = {
    "predict": lambda model, folder: model.predict_proba(X),
    "compress": lambda model, folder: coefs(
        model.compress(X[FEW], y[FEW], scheme=Prune(sparsity=0.9), epochs=2, random_state=0)
    ),
    "partial_fit": learn,
    "warm start": lambda model, folder: coefs(
        model.set_params(warm_start=True, max_iter=2, solver="full").fit(X[FEW], y[FEW])
    ),
    "to_sklearn": lambda model, folder: model.to_sklearn().predict_proba(X),
    "int8": written(lambda model, path: model.to_c(path, arithmetic="int8", X=X[FEW]), "network.h"),
    "C": written(lambda model, path: model.to_c(path), "network.h"),
    "save": written(lambda model, path: model.save(path), "network.fbcd"),
    "architecture": lambda model, folder: repr(
        (model.network_.is_plain, model.network_.architecture)
    ),
}


CHANGING = {"partial_fit", "warm start"}
"""The operations that change the estimator."""


def outcome(operation, model, folder):
    folder.mkdir()
    try:
        return OPERATIONS[operation](model, folder)
    except ValueError as error:
        return str(error)


@functools.cache
def fitted(make):
    return make()


@pytest.mark.filterwarnings("ignore::fastbcd.exceptions.ExportWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("make", [dense, pruned, stream, images])
def test_a_copy_does_what_the_original_does(make, operation, tmp_path):
    original = make() if operation in CHANGING else fitted(make)
    right = outcome(operation, original, tmp_path / "original")
    if make is not images:  # some exports refuse these, and shall refuse their copies
        assert not isinstance(right, str) or operation == "architecture"
    for name, copied in COPIES.items():
        (tmp_path / name).mkdir()
        got = outcome(operation, copied(fitted(make), tmp_path / name), tmp_path / f"{name} out")
        np.testing.assert_array_equal(got, right, err_msg=name)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_copy_compares_equal_where_values_do(tmp_path):
    for make in (dense, images):
        model = fitted(make)
        for copied in COPIES.values():
            (tmp_path / "x").mkdir(exist_ok=True)
            assert (
                copied(model, tmp_path / "x").network_.architecture == model.network_.architecture
            )
