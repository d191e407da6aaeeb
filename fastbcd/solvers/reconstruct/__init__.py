"""Compress a trained network one layer after another, then refine all layers together."""

from fastbcd.compression.allocation.greedy import allocate as allocate
from fastbcd.network.dead import count_dead as count_dead
from fastbcd.network.dead import remove_dead as remove_dead
from fastbcd.solvers.reconstruct.calibration import Calibration as Calibration
from fastbcd.solvers.reconstruct.calibration import Reconstruction as Reconstruction

__all__ = ["Calibration", "Reconstruction", "allocate", "count_dead", "remove_dead"]
