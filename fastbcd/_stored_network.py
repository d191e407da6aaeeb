"""The layers of a network as named arrays and short descriptions, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from fastbcd._network import Layer, Network
from fastbcd._safetensors import expect
from fastbcd._streams import Encoded, decode, encode
from fastbcd._types import Float
from fastbcd.activations import ALL_ACTIVATIONS
from fastbcd.formats import FORMATS

MAX_FREE = 1 << 27
"""Entries of a matrix of one value: its codes take no bits, so that a file could ask for any."""

NEWER = "Upgrade to read it: pip install -U fastbcd"


def describe(network: Network) -> tuple[dict[str, NDArray[Any]], list[dict[str, Any]]]:
    """Return the arrays of all layers, named "<layer>.<name>", and what else describes each."""
    arrays: dict[str, NDArray[Any]] = {}
    layers = []
    for index, layer in enumerate(network.layers):
        encoded = encode({**layer.weight.state_dict(), "intercept": layer.intercept})
        arrays |= {f"{index}.{key}": array for key, array in encoded.arrays.items()}
        described: dict[str, Any] = {"kind": layer.weight.kind, "activation": layer.activation}
        described |= {"short": encoded.short, "packed": encoded.packed}
        layers.append({key: value for key, value in described.items() if value})
    return arrays, layers


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
    for number, (entry, own) in enumerate(zip(described, by_layer, strict=True)):
        where = f"layer {number}"
        expect(isinstance(entry, dict), f"{where} is not described")
        kind, activation = entry["kind"], entry["activation"]
        expect(kind in FORMATS, f"{where} is stored as {kind!r}, which is unknown here. {NEWER}")
        known = activation in ALL_ACTIVATIONS
        expect(known, f"{where} has the activation {activation!r}, which is unknown here. {NEWER}")
        state = decode(Encoded(own, entry.get("packed", {}), entry.get("short", {})))
        intercept: Float = state.pop("intercept")
        _check_size(state, where)
        weight = FORMATS[kind].from_state(state)
        fits = intercept.shape == (weight.shape[1],) and intercept.dtype.kind == "f"
        expect(fits, f"{where} has other intercepts than columns")
        follows = not layers or layers[-1].weight.shape[1] == weight.shape[0]
        expect(follows, f"{where} does not take what the layer before it gives")
        layers.append(Layer(weight, intercept, activation))
    return Network(layers)


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
