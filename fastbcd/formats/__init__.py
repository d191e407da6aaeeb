"""Storage formats for weight matrices: parameters, size in bits and matrix products.

Every format implements :class:`Format`. A format knows its size and its products;
:mod:`fastbcd.schemes` chooses its values.
"""

from fastbcd.formats.codebook import CodebookMatrix as CodebookMatrix
from fastbcd.formats.codebook_sparse import CodebookSparseMatrix as CodebookSparseMatrix
from fastbcd.formats.codebook_train import CodebookTrainMatrix as CodebookTrainMatrix
from fastbcd.formats.dense import DenseMatrix as DenseMatrix
from fastbcd.formats.low_rank import LowRankMatrix as LowRankMatrix
from fastbcd.formats.protocol import FORMATS as FORMATS
from fastbcd.formats.protocol import Format as Format
from fastbcd.formats.protocol import State as State
from fastbcd.formats.sparse import SparseMatrix as SparseMatrix
from fastbcd.formats.steps import Step as Step
from fastbcd.formats.sum import SumMatrix as SumMatrix
from fastbcd.formats.tensor_train import TensorTrainMatrix as TensorTrainMatrix

__all__ = [
    "FORMATS",
    "CodebookMatrix",
    "CodebookSparseMatrix",
    "CodebookTrainMatrix",
    "DenseMatrix",
    "Format",
    "LowRankMatrix",
    "SparseMatrix",
    "State",
    "Step",
    "SumMatrix",
    "TensorTrainMatrix",
]
