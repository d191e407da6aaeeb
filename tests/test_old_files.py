"""Files that the first version wrote, one of every format, are read to the last bit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from deployed import images, rows
from sklearn.datasets import load_iris

from fastbcd import BCDClassifier, load
from fastbcd.estimators.files import from_bytes
from fastbcd.estimators.saved import saved_estimator
from fastbcd.io.storage.document import write_document

FOLDER = Path(__file__).parent / "files"
FILES = sorted(path.stem for path in FOLDER.glob("*.safetensors"))


def inputs(name):
    """Return the rows that the stored predictions belong to."""
    if name.startswith("images"):
        return images(8)
    if name.startswith(("fitted", "compressed")):
        return load_iris().data[::19]
    return rows(8, dtype=np.float64 if name.endswith("float64") else np.float32)


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_first_version_predicts_as_it_did(name):
    model = load(FOLDER / f"{name}.safetensors")
    predict = getattr(model, "predict_proba", model.predict)
    stored = np.load(FOLDER / "predictions.npz")[name]
    found = predict(inputs(name))
    assert found.dtype == stored.dtype
    # The products of BLAS differ in the last bits between processors.
    np.testing.assert_allclose(found, stored, rtol=1e-5 if found.dtype == np.float32 else 1e-12)


def test_every_format_has_a_file():
    kinds = {layer.weight.kind for name in FILES for layer in load_layers(name)}
    assert kinds == {
        "codebook",
        "codebook_sparse",
        "codebook_train",
        "dense",
        "low_rank",
        "sparse",
        "sum",
        "tensor_train",
    }


def load_layers(name):
    return load(FOLDER / f"{name}.safetensors").network_.layers


def test_the_proximal_weight_of_an_old_file_has_its_new_name():
    model = BCDClassifier((3,), solver="full", proximal=2.5, max_iter=5, tol=1.0)
    model.set_params(accelerate=False, n_iter_no_change=1)
    model.fit(*load_iris(return_X_y=True))
    document = saved_estimator(model)
    params = dict(document.params)
    params["alpha"] = params.pop("proximal")
    old = from_bytes(write_document(replace(document, params=params)))
    assert old.proximal == 2.5
    assert old.get_params() == model.get_params()
