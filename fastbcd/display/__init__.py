"""Plots of fits and compressed networks, in the style of scikit-learn's Display objects.

A display stores plain data. Create it with ``from_estimator`` or a similar class method, and draw
it with ``plot``. Only drawing needs matplotlib (``pip install fastbcd[plot]``). The colours are the
colour-blind safe palette of Okabe and Ito. Lines also differ in marker or dash.
"""

from fastbcd.display.compression import CompressionDisplay as CompressionDisplay
from fastbcd.display.convergence import ConvergenceDisplay as ConvergenceDisplay
from fastbcd.display.frontier import FrontierDisplay as FrontierDisplay
from fastbcd.display.weights import WeightDisplay as WeightDisplay

__all__ = ["CompressionDisplay", "ConvergenceDisplay", "FrontierDisplay", "WeightDisplay"]
