"""Save a fitted estimator in a small file that holds data alone, and load it.

The file is a safetensors container (:mod:`fastbcd.io.codecs.container`): any reader of that format
lists its arrays and its metadata, and loading it runs nothing. The numbers are those that
``predict`` uses, so predictions before and after agree bit by bit. What training left behind, such
as ``objective_curve_``, is not saved.
"""

from __future__ import annotations

import json
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fastbcd._version import __version__
from fastbcd.estimators import BCDClassifier, BCDRegressor
from fastbcd.formats import Format
from fastbcd.io.codecs.container import DamagedError, expect, pack, unpack
from fastbcd.io.codecs.streams import deflate, encode, inflate
from fastbcd.io.storage.network import NEWER, describe, rebuild
from fastbcd.io.storage.plain import (
    from_plain,
    labels_from_plain,
    labels_to_plain,
    report_from_plain,
    report_to_plain,
    to_plain,
)
from fastbcd.network.network import Network
from fastbcd.solvers import ConvergenceRecord
from fastbcd.utils.files import write_atomic

__all__ = ["encoded_size", "load", "save"]

VERSION = 1
"""Version of the file. It grows when older versions of fastbcd would read a file wrongly."""

DETAILS = "details"
"""The array that holds, as JSON, what is neither a number of the network nor short."""

EXPECTED = (
    b'{"scheme":["TensorTrain",{"rank":8,"modes":null}]}{"scheme":["LowRank",{"rank":null,"energy":'
    b'null}]},"scheme":null,"class_weight":null,"n_nonzero":[],"warnings":[]}{"kind":"low_rank",'
    b'"kind":"dense","activation":"relu","short":{"shape":[100,10]}},{"kind":"sparse","activation":'
    b'"relu","short":{"n_out":100,"n_in":300},"packed":{"values":["F32",[1000]],"intercept":["F32",'
    b'[100]],"gaps":["U8",[1000]],"codes":["U8",[1000]]}},{"kind":"codebook_sparse","activation":'
    b'"identity","params":{"accelerate":true,"activation":"relu","alpha":1.0,"certificate":false,'
    b'"class_weight":null,"early_stopping":false,"gamma":1.0,"hidden_layer_sizes":{"tuple":[100]},'
    b'"loss":"auto","max_iter":1000,"n_iter_no_change":10,"random_state":null,"rho":1.0,"scheme":{'
    b'"dict":[[0,{"scheme":["Combination",{"low_rank":null,"tensor_train":null,"prune":{"scheme":['
    b'"Prune",{"sparsity":null,"density":null,"n_nonzero":1000,"structure":null}]},"quantize":{'
    b'"scheme":["Quantize",{"bits":4,"levels":null,"method":"kmeans","per":"layer","codebook":null}'
    b']}}]}],["output",{"scheme":"solver":"auto","tau":"auto","tol":1e-06,"tol":3e-06,'
    b'"validation_fraction":0.1,"verbose":0,"warm_start":false},"layers":[{"kind":"codebook",'
    b'"activation":"identity","short":{"shape":[100,10]}}],"fitted":{"targets":0,"n_iter":[0,0],'
    b'"classes":["<i8",[0,1,2,3,4,5,6,7,8,9]]},"report":{"columns":["layer","shape","format",'
    b'"scheme","n_params","n_nonzero","n_bytes","dense_bytes","flops","error","output_error"],'
    b'"rows":[["0","784 x 300","codebook_sparse","Prune(n_nonzero=1000) + Quantize(bits=4, method='
    b"'kmeans', per='layer')\",100,1000,"
    b'"total","","","",null,null]],"scores":[0.99,0.99],"warnings":[]}}'
)
"""What the details of most files say, so that they need not say it. Part of version 1: it stays as
it is, whatever becomes of the parameters that it names."""

CLASSES: dict[str, type[Any]] = {cls.__name__: cls for cls in (BCDClassifier, BCDRegressor)}

PRIVATE = {"BCDClassifier": "_n_labels", "BCDRegressor": "_two_dimensional"}
"""What each class keeps of the shape of its targets."""

FAULTS = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    OverflowError,
    RecursionError,
    AttributeError,
)
"""What nonsense can raise anywhere."""


def save(estimator: Any, path: str | PathLike[str]) -> None:
    """Write a fitted estimator to a file.

    Parameters
    ----------
    estimator : BCDClassifier or BCDRegressor
        What to save: network, classes, names of features, parameters and compression report.
    path : str or path
        File to write, by custom ``*.safetensors``. The file is complete or not there: an older one
        survives a full disk.

    Raises
    ------
    NotFittedError
        If there is nothing to save.
    TypeError
        For other estimators. Of a Pipeline, save the last step.
    ValueError
        For a parameter or class labels that a file without code cannot hold.
    OSError
        If the file cannot be written.

    See Also
    --------
    load : The way back.

    Examples
    --------
    >>> import tempfile, os
    >>> from sklearn.datasets import load_iris
    >>> from fastbcd import BCDClassifier, load
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = BCDClassifier((20,), random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clf.save(os.path.join(folder, "iris.safetensors"))
    ...     again = load(os.path.join(folder, "iris.safetensors"))
    >>> bool((again.predict_proba(X) == clf.predict_proba(X)).all())
    True
    """
    write_atomic(path, to_bytes(estimator))


def load(path: str | PathLike[str]) -> Any:
    """Read an estimator that ``save`` wrote. Nothing that the file holds is executed.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    BCDClassifier or BCDRegressor
        Fitted: same predictions, same parameters. ``partial_fit`` goes on from its network.

    Raises
    ------
    ValueError
        If the file is damaged, of another kind, or written by a newer version; the message names
        it and says which.
    OSError
        If it cannot be read.
    """
    data = Path(path).read_bytes()
    try:
        return from_bytes(data)
    except DamagedError as error:
        raise ValueError(f"{fspath(path)} cannot be loaded: {error}.") from None


def encoded_size(matrix: Format) -> int:
    """Return the bytes that ``matrix`` takes in a file, its entries in the header left out.

    Costs as much as saving it: about 50 ms per megabyte.
    """
    return encode(matrix.state_dict()).n_bytes


def to_bytes(estimator: Any) -> bytes:
    """Return what :func:`save` writes."""
    name = type(estimator).__name__
    if isinstance(estimator, Pipeline):
        raise TypeError(
            "Only the network of a Pipeline can be saved: pipeline[-1].save(path). Keep the steps "
            "before it by other means, or export all of it by fastbcd.export.to_onnx(pipeline)."
        )
    if type(estimator) is not CLASSES.get(name):
        raise TypeError(
            f"Can save {' and '.join(CLASSES)}, not {name}. fastbcd.compress makes one "
            "of other networks."
        )
    check_is_fitted(estimator)
    arrays, layers = describe(estimator.network_)
    details = _json(
        {
            "params": {k: to_plain(k, v) for k, v in estimator.get_params(deep=False).items()},
            "layers": layers,
            "fitted": _fitted(estimator),
            "report": report_to_plain(getattr(estimator, "compression_report_", None)),
        }
    )
    arrays[DETAILS] = np.frombuffer(deflate(details, EXPECTED), np.uint8)
    metadata = {
        "format": f"fastbcd {VERSION}",
        "writer": f"fastbcd {__version__}",
        "class": name,
        "details": f"{len(details)} bytes of JSON, deflated",
    }
    return pack(arrays, metadata)


def from_bytes(data: bytes) -> Any:
    """Return the estimator that :func:`to_bytes` wrote.

    Raises
    ------
    DamagedError
        If it wrote no such thing.
    """
    try:
        return _read(data)
    except DamagedError:
        raise
    except FAULTS as error:
        # A hostile file can break what the checks did not foresee.
        raise DamagedError(f"it is damaged ({type(error).__name__}: {error})") from None


def _read(data: bytes) -> Any:
    arrays, metadata = unpack(data)
    kind, _, version = metadata.get("format", "").partition(" ")
    expect(kind == "fastbcd" and version.isdecimal(), "it was not written by fastbcd")
    expect(
        int(version) <= VERSION,
        f"it is of version {version}, written by {metadata.get('writer')}; this one reads up to "
        f"{VERSION}. {NEWER}",
    )
    name = metadata["class"]
    expect(name in CLASSES, f"it holds a {name!r}, which is unknown here. {NEWER}")
    size = metadata["details"].partition(" ")[0]
    details = json.loads(inflate(arrays.pop(DETAILS).tobytes(), int(size), EXPECTED))
    params = {key: from_plain(value) for key, value in details["params"].items()}
    unknown = sorted(set(params) - set(CLASSES[name]._get_param_names()))
    expect(not unknown, f"{name} has no parameter {', '.join(unknown)} here. {NEWER}")
    estimator = CLASSES[name](**params)
    network = rebuild(details["layers"], arrays)
    _restore(estimator, details["fitted"], network)
    report = report_from_plain(details["report"])
    if report is not None:
        estimator.compression_report_ = report
    return estimator


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _fitted(estimator: Any) -> dict[str, Any]:
    """Return what an estimator must know besides its network."""
    found: dict[str, Any] = {
        "targets": int(getattr(estimator, PRIVATE[type(estimator).__name__], 0)),
        "n_iter": [int(estimator.n_iter_), int(estimator.best_iter_)],
    }
    if hasattr(estimator, "classes_"):
        found["classes"] = labels_to_plain(estimator.classes_, "classes")
    if hasattr(estimator, "feature_names_in_"):
        found["feature_names"] = estimator.feature_names_in_.tolist()
    return found


def _restore(estimator: Any, fitted: dict[str, Any], network: Network) -> None:
    """Set what :func:`_fitted` returned, checked against the network."""
    name = type(estimator).__name__
    n_outputs = network.layers[-1].intercept.size
    targets = fitted["targets"]
    if name == "BCDClassifier":
        estimator.classes_ = labels_from_plain(fitted["classes"], "classes")
        fits = estimator.classes_.size == n_outputs and targets in (0, n_outputs)
        expect(fits, f"its classes do not fit {n_outputs} outputs")
    else:
        expect(targets in (0, 1) and (targets or n_outputs == 1), "its outputs are not one column")
    setattr(estimator, PRIVATE[name], targets if name == "BCDClassifier" else bool(targets))
    estimator.network_ = network
    estimator.n_features_in_ = network.n_inputs
    if "feature_names" in fitted:
        names = fitted["feature_names"]
        distinct = isinstance(names, list) and all(isinstance(text, str) for text in names)
        fits = distinct and len(names) == estimator.n_features_in_
        expect(fits, "there is not one name for each feature")
        estimator.feature_names_in_ = np.array(names, dtype=object)
    estimator.n_iter_, estimator.best_iter_ = (int(count) for count in fitted["n_iter"])
    estimator.convergence_ = ConvergenceRecord()
    estimator.objective_curve_ = estimator.convergence_.objective
    estimator.validation_scores_ = []
