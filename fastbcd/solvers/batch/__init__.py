"""Several ways to train a dense network, raced in lock-step on rows held out."""

from fastbcd.solvers.batch.fit import train_batch as train_batch
from fastbcd.solvers.batch.settings import BatchSettings as BatchSettings
