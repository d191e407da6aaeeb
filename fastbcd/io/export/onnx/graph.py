"""An ONNX graph under construction: constants and nodes, each known by the name of its output."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import onnx


def import_onnx() -> Any:
    """Return the module ``onnx``.

    Raises
    ------
    ImportError
        If it is not installed; the message names the extra.
    """
    try:
        import onnx
    except ImportError:
        raise ImportError("Exporting to ONNX needs onnx: pip install 'fastbcd[onnx]'") from None
    return onnx


class Graph:
    """Nodes and constants in the order in which they are added.

    Parameters
    ----------
    dtype : dtype
        Type of the numbers that the network computes with.
    unique_name : callable, optional
        Turns a name into one that is free where the graph will be put. By default the names are
        numbered.
    """

    def __init__(
        self, dtype: np.dtype[Any], unique_name: Callable[[str], str] | None = None
    ) -> None:
        self.onnx: Any = import_onnx()
        self.dtype = dtype
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}
        numbers = count()
        self._unique_name = unique_name or (lambda name: f"{name}_{next(numbers)}")

    def node(self, op: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node of one output and return the name of that."""
        name = output or self._unique_name(op)
        self.nodes.append(self.onnx.helper.make_node(op, inputs, [name], **attributes))
        return name

    def largest(self, x: str, count: int) -> str:
        """Add a node for the ``count`` largest entries of each row, in descending order."""
        values, places = self._unique_name("TopK"), self._unique_name("TopK")
        number = self.constant([count], np.int64)
        self.nodes.append(self.onnx.helper.make_node("TopK", [x, number], [values, places], axis=1))
        return values

    def constant(self, values: Any, dtype: Any = None) -> str:
        """Add a constant, of the network's type by default, and return its name.

        Equal small ones are added once.
        """
        array = np.array(values, self.dtype if dtype is None else dtype, order="C")
        if array.size <= 16:
            for name, other in self.constants.items():
                if other.dtype == array.dtype and np.array_equal(other, array):
                    return name
        name = self._unique_name("constant")
        self.constants[name] = array
        return name

    def cast(self, x: str, dtype: Any, output: str = "") -> str:
        """Add a node that casts to ``dtype``."""
        to = self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", x, output=output, to=to)

    def reshape(self, x: str, *shape: int) -> str:
        """Add a node that reshapes."""
        return self.node("Reshape", x, self.constant(shape, np.int64))

    def tensors(self) -> list[onnx.TensorProto]:
        """Return the constants as ONNX knows them."""
        return [self.onnx.numpy_helper.from_array(a, name) for name, a in self.constants.items()]
