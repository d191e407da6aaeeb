"""Mini-batch block coordinate descent: for large data, streams, and speed."""

from fastbcd.solvers.minibatch.problem import MiniBatchProblem as MiniBatchProblem
from fastbcd.solvers.minibatch.settings import CompressionSchedule as CompressionSchedule
from fastbcd.solvers.minibatch.settings import Settings as Settings
from fastbcd.solvers.minibatch.solver import MiniBatchSolver as MiniBatchSolver
from fastbcd.solvers.minibatch.stream import Stream as Stream
from fastbcd.solvers.minibatch.train import Fitted as Fitted
from fastbcd.solvers.minibatch.train import start_stream as start_stream
from fastbcd.solvers.minibatch.train import train_minibatch as train_minibatch

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
