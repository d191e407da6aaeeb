"""A network and what surrounds it as the bytes of a file that holds data alone, and back.

The file is a safetensors container (:mod:`fastbcd.io.codecs.container`): any reader of that format
lists its arrays and its metadata, and loading it runs nothing. The numbers are those that
``predict`` uses, so predictions before and after agree bit by bit.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastbcd._version import __version__
from fastbcd.formats import Format
from fastbcd.io.codecs.container import expect, pack, unpack
from fastbcd.io.codecs.streams import deflate, encode, inflate
from fastbcd.io.storage.expected import EXPECTED
from fastbcd.io.storage.network import NEWER, describe, rebuild
from fastbcd.network.network import Network

VERSION, ENCODED = 1, 2
"""Versions of the file: the second where the network reads columns through an encoding, which older
versions of fastbcd would read wrongly. Every file is of the lowest version that can hold it."""

DETAILS = "details"
"""The array that holds, as JSON, what is neither a number of the network nor short."""

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


@dataclass(frozen=True)
class Document:
    """What a file holds.

    Parameters
    ----------
    kind : str
        Name of the estimator's class.
    network : Network
        Its network.
    params, fitted, report : JSON
        Its parameters, what it knows besides the network, and its compression report.
    """

    kind: str
    network: Network
    params: dict[str, Any]
    fitted: dict[str, Any]
    report: Any


def encoded_size(matrix: Format) -> int:
    """Return the bytes that ``matrix`` takes in a file, its entries in the header left out.

    Costs as much as saving it: about 50 ms per megabyte.
    """
    return encode(matrix.state_dict()).n_bytes


def write_document(document: Document) -> bytes:
    """Return the bytes of a file."""
    arrays, layers = describe(document.network)
    details = _json(
        {
            "params": document.params,
            "layers": layers,
            "fitted": document.fitted,
            "report": document.report,
        }
    )
    arrays[DETAILS] = np.frombuffer(deflate(details, EXPECTED), np.uint8)
    version = VERSION if document.network.encoding is None else ENCODED
    metadata = {
        "format": f"fastbcd {version}",
        "writer": f"fastbcd {__version__}",
        "class": document.kind,
        "details": f"{len(details)} bytes of JSON, deflated",
    }
    return pack(arrays, metadata)


def read_document(data: bytes) -> Document:
    """Return what :func:`write_document` wrote.

    Raises
    ------
    DamagedError
        If it wrote no such thing, and whatever nonsense raises; see :data:`FAULTS`.
    """
    arrays, metadata = unpack(data)
    kind, _, version = metadata.get("format", "").partition(" ")
    expect(kind == "fastbcd" and version.isdecimal(), "it was not written by fastbcd")
    expect(
        int(version) <= ENCODED,
        f"it is of version {version}, written by {metadata.get('writer')}; this one reads up to "
        f"{ENCODED}. {NEWER}",
    )
    size = metadata["details"].partition(" ")[0]
    details = json.loads(inflate(arrays.pop(DETAILS).tobytes(), int(size), EXPECTED))
    return Document(
        metadata["class"],
        rebuild(details["layers"], arrays),
        details["params"],
        details["fitted"],
        details["report"],
    )


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
