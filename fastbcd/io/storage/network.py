"""The layers of a network as named arrays and short descriptions, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbcd.formats import FORMATS, Format
from fastbcd.io.codecs.container import expect
from fastbcd.io.codecs.streams import Encoded, decode, encode
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.network.layers.encoding import PiecewiseLinearEncoding
from fastbcd.network.layers.patches import WHOLE_ROW, Patches, View
from fastbcd.network.layers.pooling import MaxPool
from fastbcd.network.network import Layer, Network
from fastbcd.utils.types import Float

MAX_FREE = 1 << 27
"""Entries of a matrix of one value: its codes take no bits, so that a file could ask for any."""

MAX_PIXELS = 1 << 27
"""Numbers in an image, at most: a file could ask for any."""

MAX_COLUMNS = 1 << 24
"""Columns that an encoding reads, at most: a file need not pay for them."""

NEWER = "Upgrade to read it: pip install -U fastbcd"


def describe(network: Network) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
    """Return the arrays of all layers, named "<layer>.<name>", and what else describes each."""
    arrays: dict[str, NDArray[Any]] = {}
    layers = []
    for index, layer in enumerate(network.layers):
        encoded = encode(state_of(layer))
        arrays |= {f"{index}.{key}": array for key, array in encoded.arrays.items()}
        described: dict[str, Any] = {"kind": layer.weight.kind, "activation": layer.activation}
        described |= {"short": encoded.short, "packed": encoded.packed}
        if isinstance(layer.view, Patches):
            described["patches"] = [list(size) for size in astuple(layer.view)]
        if isinstance(layer.view, PiecewiseLinearEncoding):
            described["encoding"] = {"n_columns": layer.view.n_columns}
        if layer.pool is not None:
            described["max_pool"] = [list(size) for size in astuple(layer.pool)]
        layers.append({key: value for key, value in described.items() if value})
    return arrays, layers


def state_of(layer: Layer) -> dict[str, NDArray[Any]]:
    """Return the arrays of a layer before they are encoded: weights, intercepts, encoding."""
    state = {**layer.weight.state_dict(), "intercept": layer.intercept}
    view = layer.view
    if isinstance(view, PiecewiseLinearEncoding):
        view = view.astype(layer.weight.dtype)  # as it computes
        state["encoding.ramps"] = np.stack([view.starts, view.slopes])
        # One array, as each takes about 70 bytes of the header.
        columns = [view.plain, view.columns] if view.selects else [view.columns]
        state["encoding.columns"] = np.concatenate(columns).astype(view.index_type)
    return state


def rebuild(described: Any, arrays: Mapping[str, NDArray[Any]]) -> Network:
    """Return the network that :func:`describe` described.

    Parameters
    ----------
    described : list of dict
        What JSON held: not trusted.
    arrays : mapping of str to array
        All arrays of the network.

    Raises
    ------
    DamagedError, or whatever nonsense raises
        If it described no such thing.
    """
    expect(isinstance(described, list) and len(described) > 0, "it has no layers")
    by_layer: list[dict[str, NDArray[Any]]] = [{} for _ in described]
    for key, array in arrays.items():
        index, _, name = key.partition(".")
        expect(index.isdecimal() and int(index) < len(described), f"the array {key!r} is unknown")
        by_layer[int(index)][name] = array
    layers: list[Layer] = []
    follows = None
    for number, (entry, own) in enumerate(zip(described, by_layer, strict=True)):
        where = f"layer {number}"
        expect(isinstance(entry, dict), f"{where} is not described")
        kind, activation = entry["kind"], entry["activation"]
        expect(kind in FORMATS, f"{where} is stored as {kind!r}, which is unknown here. {NEWER}")
        known = activation in ALL_ACTIVATIONS
        expect(known, f"{where} has the activation {activation!r}, which is unknown here. {NEWER}")
        state = decode(Encoded(own, entry.get("packed", {}), entry.get("short", {})))
        intercept: Float = state.pop("intercept")
        given_view = {
            name: state.pop(f"encoding.{name}")
            for name in ("ramps", "columns")
            if f"encoding.{name}" in state
        }
        _check_size(state, where)
        weight = FORMATS[kind].from_state(state)
        fits = intercept.shape == (weight.shape[1],) and intercept.dtype.kind == "f"
        expect(fits, f"{where} has other intercepts than columns")
        view, pool = _images(entry, where)
        if "encoding" in entry:
            expect(number == 0 and view == WHOLE_ROW, f"{where} cannot read columns by an encoding")
            view = _encoding(entry["encoding"], given_view, weight, where)
        layer = Layer(weight, intercept, activation, view, pool)
        n_in, given = _sizes(layer, where)
        expect(follows in (None, n_in), f"{where} does not take what the layer before it gives")
        layers.append(layer)
        follows = given
    whole = layers[-1].view.positions == 1 and layers[-1].pool is None
    expect(whole, "its last layer gives no outputs")
    network = Network(layers)
    expect(network.encoding is None or not network.sees_images, "its images cannot be encoded")
    return network


def _images(entry: Mapping[str, Any], where: str) -> tuple[View, MaxPool | None]:
    """Return how a layer sees images, and its pooling."""
    view: View = WHOLE_ROW
    pool = None
    if "patches" in entry:
        shape, kernel, stride, padding, window = _pairs(entry["patches"], 5, where)
        view = Patches((shape[0], shape[1], shape[2]), kernel[:2], stride[:2], padding[:2], window)
        fits = min(*kernel, *stride, *window) > 0 and min(view.grid) > 0
        expect(fits, f"{where} sees patches that do not fit its images")
    if "max_pool" in entry:
        shape, window = _pairs(entry["max_pool"], 2, where)
        pool = MaxPool((shape[0], shape[1], shape[2]), window)
        fits = min(window) > 0 and pool.n_out > 0
        expect(fits, f"{where} has a pooling that does not fit its images")
    return view, pool


def _encoding(
    entry: Any, arrays: Mapping[str, NDArray[Any]], weight: Format, where: str
) -> PiecewiseLinearEncoding:
    """Return how a layer reads columns."""
    n_columns, ramps, columns = entry["n_columns"], arrays["ramps"], arrays["columns"]
    sound = type(n_columns) is int and 0 < n_columns <= MAX_COLUMNS
    sound = sound and ramps.ndim == 2 and ramps.shape[0] == 2 and ramps.dtype == weight.dtype
    expect(sound and np.isfinite(ramps).all(), f"{where} has an encoding that is no numbers")
    starts, slopes = np.ascontiguousarray(ramps)
    expect(bool((slopes > 0).all()), f"{where} has an encoding whose ramps do not rise")
    n_features = weight.shape[0]
    n_plain = n_features - len(slopes)
    every = n_plain == n_columns and len(columns) == len(slopes)  # column is a feature itself
    fits = n_plain >= 0 and columns.shape == (len(slopes) if every else n_features,)
    fits = fits and columns.dtype.kind in "iu"
    expect(fits, f"{where} has an encoding of other features than its weights")
    inside = not columns.size or (columns.min() >= 0 and columns.max() < n_columns)
    expect(bool(inside), f"{where} has an encoding of columns that are not there")
    columns = columns.astype(np.intp)
    plain = np.arange(n_columns) if every else columns[:n_plain]
    return PiecewiseLinearEncoding(
        n_columns, plain, columns[len(columns) - len(slopes) :], starts, slopes
    )


def _pairs(sizes: Any, count: int, where: str) -> list[Any]:
    """Return a shape of three numbers and ``count - 1`` pairs, none negative or absurd."""
    good = isinstance(sizes, list) and [len(size) for size in sizes] == [3, *[2] * (count - 1)]
    good = good and all(type(n) is int and 0 <= n < MAX_PIXELS for size in sizes for n in size)
    expect(good, f"{where} has images of no sensible shape")
    shape = sizes[0]
    expect(0 < math.prod(shape) <= MAX_PIXELS, f"{where} has images of no sensible shape")
    return [tuple(size) for size in sizes]


def _sizes(layer: Layer, where: str) -> tuple[int, int]:
    """Return how many numbers a layer takes and gives for a row; raise if it cannot be."""
    view, (k, m) = layer.view, layer.weight.shape
    n_in = k if view.n_inputs is None else view.n_inputs
    if isinstance(view, Patches):
        expect(view.width == k, f"{where} has patches of another size than its weights")
    given = view.positions * m
    if layer.pool is not None:
        fits = layer.pool.n_in == given and layer.pool.shape[2] == m
        expect(fits, f"{where} has a pooling for other images than it gives")
        given = layer.pool.n_out
    return n_in, given


def _check_size(state: Mapping[str, NDArray[Any]], where: str) -> None:
    """Refuse absurdly many codes where they take no bits, because there is one value."""
    for key, codebook in state.items():
        if key.rpartition(".")[2] != "codebook" or codebook.size > 1:
            continue
        prefix = key.removesuffix("codebook")
        sizes = {name: state.get(prefix + name) for name in ("shape", "modes", "ranks")}
        shape, modes, ranks = (
            [] if size is None else size.ravel().tolist() for size in sizes.values()
        )
        entries = math.prod(shape)
        if modes:
            entries = sum(modes) * max(ranks, default=1) ** 2
        expect(entries <= MAX_FREE, f"{where} is absurdly large")
