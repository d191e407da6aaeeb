r"""Refinement of a compressed network: all layers change together, and each keeps its format.

Mini-batches pass forward; the outputs are pulled towards their targets,

    dU_L = alpha T (softmax(Z/T) - softmax(U_L/T)) + (1 - alpha) (Y - softmax(U_L)),

The pull goes backward through the layers, dV_l = dU_{l+1} W_{l+1}', dU_l = dV_l sigma'(U_l).
Each layer then takes a step of the ridge regression of dU_l on its free parameters,

    m <- mu m + (cov(V) + lambda I)^{-1} cov(V, dU)      restricted to the support,
    W <- W + eta m,

which is the exact solution of the layer's block, shortened. Factors have another step, see
:mod:`.factored`. Z are the outputs of the dense network, which need no labels; Y are labels. Rows
are centred, so a step of the weights does not change the mean of the outputs, and the intercepts
have a separate step.

Inside, a batch lies in columns, (width, batch): see :mod:`fastbcd_kernels.sparse_batch`.
"""

from fastbcd.solvers.refine.chain import thinned as thinned
from fastbcd.solvers.refine.descent import Descent as Descent
from fastbcd.solvers.refine.loop import Interrupted as Interrupted
from fastbcd.solvers.refine.loop import refine as refine
from fastbcd.solvers.refine.settings import RefineSettings as RefineSettings
from fastbcd.solvers.refine.targets import Targets as Targets

__all__ = ["Descent", "Interrupted", "RefineSettings", "Targets", "refine", "thinned"]
