"""Save a fitted estimator in a small file that holds data alone, and load it."""

from fastbcd.io.storage.document import encoded_size as encoded_size
from fastbcd.io.storage.document import from_bytes as from_bytes
from fastbcd.io.storage.document import load as load
from fastbcd.io.storage.document import save as save
from fastbcd.io.storage.document import to_bytes as to_bytes

__all__ = ["encoded_size", "from_bytes", "load", "save", "to_bytes"]
