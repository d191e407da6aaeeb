"""Pictures of fits and of compressed networks, in scikit-learn's Display form.

Each display holds plain data, made by ``from_estimator`` or a sibling of it, and draws it with
``plot``. Drawing needs matplotlib (``pip install fastbcd[plot]``), making a display does not.
Colours are those of Okabe and Ito, which readers with any colour vision can tell apart, and
lines differ by marker or dash as well.
"""

from fastbcd.display.compression import CompressionDisplay as CompressionDisplay
from fastbcd.display.convergence import ConvergenceDisplay as ConvergenceDisplay
from fastbcd.display.frontier import FrontierDisplay as FrontierDisplay
from fastbcd.display.weights import WeightDisplay as WeightDisplay

__all__ = ["CompressionDisplay", "ConvergenceDisplay", "FrontierDisplay", "WeightDisplay"]
