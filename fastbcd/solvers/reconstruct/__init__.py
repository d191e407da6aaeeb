"""Compress a trained network one layer after another, then refine all layers together."""

from fastbcd.solvers.reconstruct.allocation import allocate as allocate
from fastbcd.solvers.reconstruct.dead import count_dead as count_dead
from fastbcd.solvers.reconstruct.dead import remove_dead as remove_dead
from fastbcd.solvers.reconstruct.sequential import Calibration as Calibration
from fastbcd.solvers.reconstruct.sequential import Reconstruction as Reconstruction

__all__ = ["Calibration", "Reconstruction", "allocate", "count_dead", "remove_dead"]
