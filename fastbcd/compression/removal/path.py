"""The way to a slim network: removals in rounds, with a short refinement after each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastbcd.compression.job import Job
from fastbcd.compression.removal.goal import Goal, floor_widths
from fastbcd.compression.removal.prices import remove_units
from fastbcd.network.network import Network


@dataclass(frozen=True)
class Step:
    """A network on the way, before its final refinement.

    Parameters
    ----------
    network : Network
        As a function of all features.
    size : float
        Its size, as the goal counts.
    """

    network: Network
    size: float


class Path:
    """The networks from the dense one down to a goal.

    Parameters
    ----------
    job : Job
        Network and data; its encoding lists the inputs.
    goal : Goal
        What may go, and how much.
    """

    def __init__(self, job: Job, goal: Goal) -> None:
        self._job, self._goal = job, goal
        self._groups = features_by_input(job)
        self.steps: list[Step] = []
        self._seen = 0

    def walk(self) -> Network:
        """Return the network at the goal, before its final refinement.

        The networks of all rounds are kept in :attr:`steps`. After an interruption, none is
        returned that misses the goal.
        """
        job, settings = self._job, self._job.settings
        network = job.calibration.network
        widths = widths_of(network)
        by_feature = [len(group) for group in self._groups]
        end = max(self._goal.least, self._goal.size(floor_widths(self._goal, widths, by_feature)))
        size = self._goal.size(widths)
        sizes = rounds(size, end, settings.first_cut, settings.cut)
        if job.epochs == 0:
            sizes = sizes[-1:]
        job.progress.stage("removing inputs and neurons", max(1, len(sizes)))
        for number, least in enumerate(sizes):
            if number and not job.interrupted:
                share, rate = settings.between, settings.between_rate
                network = job.refined(network, [None] * len(network.layers), None, share, rate)
                job.progress.stage("removing inputs and neurons", len(sizes))
            if job.interrupted:
                least = end
            network = self._cut(network, least)
            self.steps.append(Step(network, self._goal.size(widths_of(network))))
            job.progress.update(number + 1, f"{self.steps[-1].size:,.0f} left")
            if job.interrupted:
                break
        return network

    def _cut(self, network: Network, least: float) -> Network:
        job, settings = self._job, self._job.settings
        x, weight = job.sample(settings.price_rows, self._seen)
        self._seen += len(x)
        n_outputs = network.layers[-1].weight.shape[1]
        n_bent = max(settings.fewest_bent, settings.bent // n_outputs)

        def stays(widths: list[int]) -> bool:
            return self._goal.size(widths) <= least

        return remove_units(
            network,
            x,
            job.loss,
            self._goal.layers,
            stays,
            self._goal.floors,
            self._groups,
            weight,
            n_bent,
            settings.input_worth,
        ).network


def rounds(size: float, least: float, first: float, cut: float) -> list[float]:
    """Return the sizes to stop at: ``first`` of ``size``, then ``cut`` of the one before."""
    found = []
    size *= first
    while size * cut**0.5 > least:
        found.append(size)
        size *= cut
    return [*found, least]


def widths_of(network: Network) -> list[int]:
    """Return the features with weights, hidden layers and outputs of a network of features."""
    used = np.count_nonzero(network.layers[0].weight.to_dense().any(axis=1))
    return [int(used), *(layer.weight.shape[1] for layer in network.layers)]


def features_by_input(job: Job) -> list[NDArray[np.intp]]:
    """Return which features of the job's encoding read each column."""
    assert job.encoding is not None
    read = np.concatenate([job.encoding.plain, job.encoding.columns])
    order = np.argsort(read, kind="stable")
    starts = np.flatnonzero(np.diff(read[order], prepend=-1))
    return list(np.split(order, starts[1:]))
