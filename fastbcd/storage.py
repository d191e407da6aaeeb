"""Save a fitted estimator in a small file that holds data alone, and load it."""

from fastbcd.estimators.files import from_bytes as from_bytes
from fastbcd.estimators.files import load as load
from fastbcd.estimators.files import save as save
from fastbcd.estimators.files import to_bytes as to_bytes
from fastbcd.io.storage.document import encoded_size as encoded_size

__all__ = ["encoded_size", "from_bytes", "load", "save", "to_bytes"]
