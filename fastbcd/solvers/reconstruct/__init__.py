"""Compress a trained network one layer after another."""

from fastbcd.network.dead import count_dead as count_dead
from fastbcd.network.dead import remove_dead as remove_dead
from fastbcd.solvers.reconstruct.calibration import Calibration as Calibration
from fastbcd.solvers.reconstruct.calibration import Reconstruction as Reconstruction

__all__ = ["Calibration", "Reconstruction", "count_dead", "remove_dead"]
