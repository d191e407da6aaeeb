"""The safetensors container: named arrays and strings in one file, nothing that runs.

Eight bytes with the length of the header, the header in JSON, then the bytes of the arrays end to
end (https://github.com/huggingface/safetensors, "Format"). What is written here, the safetensors
package reads. One string of the metadata, ``crc32``, is the checksum of the whole file with that
string set to zeros, so that no damage goes unnoticed.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
}
"""The types of arrays by the name that the header gives them."""

_NAMES: dict[np.dtype[Any], str] = {dtype: name for name, dtype in DTYPES.items()}

_LENGTH = 8
_ALIGNMENT = 8
_BLANK = "00000000"

FOREIGN = "it was not written by fastbcd: it is a safetensors file without fastbcd's checksum"
WEIGHTS = (
    "If it holds the weights of a PyTorch network, load them into its torch.nn.Sequential, and "
    "give that to fastbcd.compress"
)


PICKLE = (
    "it is a pickle, and load reads only what save wrote. If you trust whoever made it, open it "
    "with pickle.load or joblib.load"
)
ZIP = (
    "it is a zip archive, as torch.save and numpy.savez write them, and load reads only what save "
    "wrote. If it is a PyTorch network of somebody you trust, open it with torch.load, and give "
    "the network to fastbcd.compress"
)


class DamagedError(ValueError):
    """A file is not what it should be; the message says in what."""


def expect(holds: bool, complaint: str) -> None:
    """Raise DamagedError with ``complaint`` unless ``holds``."""
    if not holds:
        raise DamagedError(complaint)


PACKED = (
    "it is a compressed file, as joblib.dump(..., compress=...) writes them, and load reads only "
    "what save wrote. If you trust whoever made it, open it with joblib.load"
)


def _kind(data: bytes) -> str:
    """Name another kind of file; return an empty string if its first bytes do not show it."""
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return PICKLE
    if data[:2] in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b", b"BZ"):
        return PACKED
    return ZIP if data[:4] == b"PK\x03\x04" else ""


def pack(arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a file that holds ``arrays`` and ``metadata``.

    Parameters
    ----------
    arrays : mapping of str to array
        Of the types of :data:`DTYPES`. Wide ones come first, so that all are aligned.
    metadata : mapping of str to str
        Other strings; ``crc32`` is added.
    """
    entries: dict[str, Any] = {"__metadata__": {**metadata, "crc32": _BLANK}}
    buffers = []
    offset = 0
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].dtype.itemsize):
        little = np.asarray(array, array.dtype.newbyteorder("<"), order="C")
        entries[name] = {
            "dtype": type_name(array.dtype),
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        buffers.append(little.tobytes())
        offset += array.nbytes
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    data = len(header).to_bytes(_LENGTH, "little") + header + b"".join(buffers)
    return data.replace(_mark(_BLANK), _mark(f"{zlib.crc32(data):08x}"), 1)


def unpack(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the metadata of a file.

    Nothing is allocated that the file does not hold.

    Raises
    ------
    DamagedError
        If anything is wrong with it.
    """
    expect(len(data) >= _LENGTH, "it is too short")
    length = int.from_bytes(data[:_LENGTH], "little")
    start = _LENGTH + length
    expect(start <= len(data), _kind(data) or "it is not a safetensors file, or it was cut off")
    try:
        header = json.loads(data[_LENGTH:start].decode(), object_pairs_hook=_distinct)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        unread = "its header is not JSON: not a safetensors file, or damaged"
        raise DamagedError(_kind(data) or unread) from None
    expect(isinstance(header, dict), "its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    strings = isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())
    expect(strings, "its metadata are not strings")
    buffer = memoryview(data)[start:]
    if "crc32" not in metadata:
        try:
            _arrays(header, buffer)
        except DamagedError as error:
            raise DamagedError(f"{FOREIGN}; {error}") from None
        raise DamagedError(f"{FOREIGN}. {WEIGHTS}")
    arrays = _arrays(header, buffer)
    _check_sum(data, start, metadata.pop("crc32"))
    return arrays, metadata


def _arrays(header: dict[str, Any], buffer: memoryview) -> dict[str, NDArray[Any]]:
    """Return the arrays that ``header`` describes."""
    arrays = {}
    end = 0
    for name, entry in sorted(header.items(), key=_first_offset):
        dtype, shape, (low, high) = _entry(name, entry)
        expect(low == end, f"the array {name!r} overlaps another or leaves a gap")
        expect(high <= len(buffer), f"the array {name!r} was cut off")
        size = math.prod(shape) * dtype.itemsize
        expect(size == high - low, f"the array {name!r} has other bytes than its shape asks for")
        stored = np.frombuffer(buffer[low:high], dtype).reshape(shape)
        # A copy: aligned, writable and of this machine's byte order.
        arrays[name] = stored.astype(dtype.newbyteorder("="))
        end = high
    expect(end == len(buffer), "there are bytes that belong to no array, or arrays were cut off")
    return arrays


def type_name(dtype: np.dtype[Any]) -> str:
    """Return the name that the header gives ``dtype``."""
    return _NAMES[dtype.newbyteorder("<")]


def _mark(checksum: str) -> bytes:
    return f'"crc32":"{checksum}"'.encode()


def _check_sum(data: bytes, start: int, checksum: str) -> None:
    head = data[:start].replace(_mark(checksum), _mark(_BLANK), 1)
    found = zlib.crc32(memoryview(data)[start:], zlib.crc32(head))
    expect(f"{found:08x}" == checksum, "its checksum is wrong: it was changed after it was written")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    expect(len(found) == len(pairs), "a name stands twice in its header")
    return found


def _first_offset(item: tuple[str, Any]) -> Any:
    name, entry = item
    return _entry(name, entry)[2]


def _entry(name: str, entry: Any) -> tuple[np.dtype[Any], list[int], tuple[int, int]]:
    """Return type, shape and offsets of an array, each checked by itself."""
    fields = {"dtype", "shape", "data_offsets"}
    expect(isinstance(entry, dict) and set(entry) == fields, f"the array {name!r} is not described")
    shape, offsets = entry["shape"], entry["data_offsets"]
    expect(is_sizes(shape) and len(shape) <= 8, f"the array {name!r} has no proper shape")
    expect(is_sizes(offsets) and len(offsets) == 2, f"the array {name!r} has no proper place")
    kind = entry["dtype"]
    known = isinstance(kind, str) and kind in DTYPES
    expect(known, f"the array {name!r} is of the unknown type {kind!r}")
    return DTYPES[kind], shape, (offsets[0], offsets[1])


def is_sizes(value: Any) -> bool:
    """Whether ``value`` is a list of integers that can be sizes."""
    return isinstance(value, list) and all(type(n) is int and 0 <= n < 1 << 63 for n in value)
