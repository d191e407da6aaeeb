"""Mini-batch block coordinate descent: for large data, streams, and speed."""

from fastbcd.solvers.minibatch._blocks import MiniBatchProblem as MiniBatchProblem
from fastbcd.solvers.minibatch._schedule import CompressionSchedule as CompressionSchedule
from fastbcd.solvers.minibatch._schedule import Settings as Settings
from fastbcd.solvers.minibatch._solver import MiniBatchSolver as MiniBatchSolver
from fastbcd.solvers.minibatch._stream import Stream as Stream
from fastbcd.solvers.minibatch._train import Fitted as Fitted
from fastbcd.solvers.minibatch._train import start_stream as start_stream
from fastbcd.solvers.minibatch._train import train_minibatch as train_minibatch

__all__ = [
    "CompressionSchedule",
    "Fitted",
    "MiniBatchProblem",
    "MiniBatchSolver",
    "Settings",
    "Stream",
    "start_stream",
    "train_minibatch",
]
