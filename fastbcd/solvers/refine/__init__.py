r"""Refinement of a compressed network: all layers together, the compression kept.

Mini-batches pass forward; the outputs are pulled towards their targets,

    dU_L = alpha T (softmax(Z/T) - softmax(U_L/T)) + (1 - alpha) (Y - softmax(U_L)),

and the pull goes backward through the layers, dV_l = dU_{l+1} W_{l+1}', dU_l = dV_l sigma'(U_l).
Each layer then takes a step of the ridge regression of dU_l on its own free parameters,

    m <- mu m + (cov(V) + lambda I)^{-1} cov(V, dU)      restricted to the support,
    W <- W + eta m,

which is the exact solution of the layer's block, shortened; factors take steps of their own, see
:mod:`.factored`. Z are the outputs of the dense network, which needs no labels; Y are labels. Rows
are centred, so that a step of the weights leaves the mean of the outputs alone, and the intercepts
have a step of their own.

Inside, a batch lies in columns, (width, batch): see :mod:`fastbcd_kernels.sparse_batch`.
"""

from fastbcd.solvers.refine.chain import thinned as thinned
from fastbcd.solvers.refine.course import Course as Course
from fastbcd.solvers.refine.descent import Descent as Descent
from fastbcd.solvers.refine.loop import Interrupted as Interrupted
from fastbcd.solvers.refine.loop import refine as refine
from fastbcd.solvers.refine.targets import Targets as Targets

__all__ = ["Course", "Descent", "Interrupted", "Targets", "refine", "thinned"]
