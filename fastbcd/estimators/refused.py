"""What was refused leaves no trace in the estimator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def unchanged_if_refused(estimator: Any) -> Iterator[None]:
    """Set the attributes of ``estimator`` back to what they were if an exception leaves the block.

    Attributes are set one by one while the data are checked. Without this, the next call would
    find those of data that were refused beside the network of other data.
    """
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise
