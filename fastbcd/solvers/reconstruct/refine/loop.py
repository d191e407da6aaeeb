"""The course of a refinement: batches, lengths of steps, averages, and what to return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fastbcd._network import Network
from fastbcd._types import Float
from fastbcd.solvers.reconstruct.imitation import ENOUGH
from fastbcd.solvers.reconstruct.refine.adversary import CERTAIN, Adversary, certainty, plenty
from fastbcd.solvers.reconstruct.refine.balance import balanced
from fastbcd.solvers.reconstruct.refine.batches import Batches
from fastbcd.solvers.reconstruct.refine.chain import Chain
from fastbcd.solvers.reconstruct.refine.crew import Crew
from fastbcd.solvers.reconstruct.refine.descent import Descent
from fastbcd.solvers.reconstruct.refine.judge import Judge
from fastbcd.solvers.reconstruct.refine.targets import Targets
from fastbcd.solvers.reconstruct.statistics import explained_share

REDUNDANT = (0.6, 0.9)
"""Share of an input's variance that the others explain: below the first nothing is dropped,
above the second all of ``Course.drop``."""

HELD_OUT = 0.05
"""Share of the rows that only judge."""

EARLY = 40
"""Steps after which the loss is looked at for the first time, and after going back; then once per
epoch."""

WILD, WILD_DESCENT, SMOOTHING = 3.0, 10.0, 0.2
"""A loss, within the first ``EARLY`` steps, beyond this multiple of the first one's means that the
steps are too long; they are taken back at once. It is a running mean of the batches' losses, the
newest with this weight: those of single batches of a good network differ by as much. A descent
has time to make up for more, and much is lost with it."""

DESCENTS = 2
"""Halvings of the steps with which a descent that proved to be too fast is begun again."""

MOST_HALVINGS = 20
"""Halvings of the steps after which no step can help."""

GRAM_ROWS = 8000
"""Rows from which the metric of each layer is measured, once per epoch."""

MOVE_EVERY = 100
"""Steps between two chances of the supports to move, or to shrink."""

Tell = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Course:
    """Settings of :func:`refine`.

    Parameters
    ----------
    epochs : float
        Passes over the rows; a batch that is seen again, moved, counts twice.
    batch_size : int
        Rows per step.
    rate : float
        eta at the start; it falls to zero along a cosine.
    momentum, decay : float
        mu, and the pull of the weights towards zero relative to m.
    drop : float
        Share of the inputs that are set to zero in each batch, in a classification; the dense
        network still answers for the whole row. Where inputs cannot be told from
        each other less is dropped, and nothing where they are independent. ``decay`` follows.
    radius : float
        How far every second batch is moved to where the network does worst, relative to the root
        of the inputs' total variance, in a classification with plenty of weights of which the
        dense network is certain; see :mod:`.adversary`.
    momentum_undropped : float
        mu where no inputs are dropped from many rows: their pulls are less noisy.
    averaged : float
        Share of the steps, the last ones, whose iterates are averaged.
    moving : float
        Share of the steps, the first ones, during which the supports of pruned layers may move, in
        a classification. There the squared pulls tell the curvature of the loss.
    moved : float
        Share of a support that may move at a time, in the beginning; falls to zero.
    shrinking : float
        Share of the steps, the first ones, during which supports shrink to what is wanted.
    """

    epochs: float = 6.0
    batch_size: int = 200
    rate: float = 2.0
    momentum: float = 0.7
    decay: float = 2e-4
    drop: float = 0.1
    radius: float = 0.1
    momentum_undropped: float = 0.9
    averaged: float = 0.3
    moving: float = 0.4
    moved: float = 0.1
    shrinking: float = 0.5

    def suited_to(self, targets: Targets, x: Float, network: Network) -> Course:
        """Return the course with what suits rows ``x``, the targets and the network."""
        if not targets.classify:
            return replace(self, drop=0.0, decay=0.0, moving=0.0, radius=0.0)
        low, high = REDUNDANT
        factor = float(np.clip((explained_share(x) - low) / (high - low), 0, 1))
        sure = certainty(targets.dense) >= CERTAIN
        radius = plenty(network, targets.n_rows) * self.radius if sure else 0.0
        momentum = self.momentum
        if targets.n_rows >= ENOUGH:
            momentum = factor * self.momentum + (1 - factor) * self.momentum_undropped
        return replace(
            self,
            drop=factor * self.drop,
            radius=radius,
            decay=factor * self.decay,
            momentum=momentum,
        )


class Interrupted(KeyboardInterrupt):
    """An interruption that carries the best network so far.

    Parameters
    ----------
    best : Network
        The network.
    """

    def __init__(self, best: Network) -> None:
        super().__init__()
        self.best = best


def refine(
    network: Network,
    x: Float,
    targets: Targets,
    course: Course,
    random_state: np.random.RandomState,
    tell: Tell | None = None,
    descent: Descent | None = None,
) -> Network:
    """Return a network of the same formats that is nearer to the targets, or ``network`` itself.

    Outputs of a regression are measured in units of their standard deviation, so that the steps do
    not depend on the units of the targets. The work is done in float32.

    Parameters
    ----------
    network : Network
        Where to start.
    x : (n, d) array
        Inputs.
    targets : Targets
        What the outputs of these rows shall become.
    course : Course
        Length and steps.
    random_state : RandomState
        Order of the rows, and which inputs are dropped.
    tell : callable, optional
        Is told after each step: the steps done, all steps, and the least held-out loss so far.
    descent : Descent, optional
        Start there instead, with more weights, and lose them on the way; ``network`` then is what
        the result is compared with. Ignored where supports cannot move, and in short courses;
        begun again with half the steps where they prove to be too long, given up in the end.

    Raises
    ------
    Interrupted
        After a KeyboardInterrupt; it carries the best network so far.
    """
    unit = 1.0
    if not targets.classify:
        unit = float(np.std(targets.dense, axis=0).mean()) or 1.0
    targets = targets.changed(1 / unit, np.dtype(np.float32))
    start = _scaled(network, 1 / unit)
    try:
        with Crew.of_all() as crew:
            found = _refine(start, x, targets, course, random_state, tell, descent, crew)
    except Interrupted as interruption:
        best = interruption.best
        raise Interrupted(network if best is start else _scaled(best, unit)) from None
    return network if found is start else _scaled(found, unit)


def _scaled(network: Network, factor: float) -> Network:
    """Multiply the outputs by ``factor``."""
    if factor == 1:
        return network
    last = network.layers[-1]
    intercept = (last.intercept * factor).astype(last.intercept.dtype)
    scaled = replace(last, weight=last.weight.scaled(factor), intercept=intercept)
    return Network([*network.layers[:-1], scaled])


def _refine(
    network: Network,
    x: Float,
    targets: Targets,
    course: Course,
    random_state: np.random.RandomState,
    tell: Tell | None,
    descent: Descent | None,
    crew: Crew,
) -> Network:
    n = targets.n_rows
    order = random_state.permutation(n)
    n_held = min(max(1, round(HELD_OUT * n)), 3000)
    held, train = order[:n_held], order[n_held:]
    if train.size == 0:
        return network
    some = train[:GRAM_ROWS]
    course = course.suited_to(targets, x[some], network)
    batch = min(course.batch_size, train.size)
    per_epoch = train.size // batch
    n_steps = max(1, round(course.epochs * per_epoch))
    judge = Judge(targets, x[held], held, network, course.drop / Course.drop)
    # The step of the last loss of weights.
    shrunk = int(course.shrinking * n_steps / MOVE_EVERY) * MOVE_EVERY
    if descent is None or course.moving == 0 or shrunk < 2 * MOVE_EVERY:
        descent, shrunk = None, -1
    begin_with = network if descent is None else descent.start
    chain = Chain(balanced(begin_with).layers, x[some], targets, some, crew)
    batches = Batches(x, train, batch, course.drop, random_state, crew)
    adversary = Adversary(course.radius, float(x[some].var(axis=0, dtype=np.float64).sum()))
    done = epoch_end = begin = n_halved = 0
    look = EARLY
    first = recent = np.inf
    rows, v = train[:0], np.empty((0, 0), np.float32)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            while done < n_steps and n_halved <= MOST_HALVINGS:
                moving = max(0.0, 1 - done / max(course.moving * n_steps, 1e-9))
                sound = True
                due = done > 0 and done % MOVE_EVERY == 0
                if due:
                    adversary.forget()
                if descent is not None and due and done <= shrunk:
                    sound = chain.measure(course.moved * moving, descent.at(done / shrunk))
                elif done == epoch_end:
                    sound = chain.measure()
                elif due and moving > 0:
                    sound = chain.measure(course.moved * moving)
                if done == epoch_end:
                    epoch_end = min(n_steps, done + per_epoch)
                if sound:
                    moved = adversary.due()
                    if moved:
                        adversary.move(v, chain.input_pull)
                    else:
                        rows, v = batches.next(chain.used_inputs())
                    rate = 0.5 * course.rate * (1 + np.cos(np.pi * done / n_steps))
                    again = adversary.wanted()
                    steps = rate, course.momentum, course.decay
                    outputs = chain.step(v, rows, *steps, again)
                    if done < begin + EARLY and not moved:
                        loss = targets.loss(outputs, rows)
                        if done == begin:
                            first = recent = loss
                        recent += SMOOTHING * (loss - recent)
                        if not recent <= (WILD if descent is None else WILD_DESCENT) * first:
                            sound, done = False, begin - 1
                    done += 1
                    if done > (1 - course.averaged) * n_steps:
                        chain.average()
                    # Who has more weights than are wanted is not judged.
                    if sound and done in (look, epoch_end) and done > shrunk:
                        loss = judge.see(chain.network())
                        sound = not judge.diverged(loss)
                if not sound:
                    adversary.forget()
                    course = replace(course, rate=course.rate / 2)
                    n_halved += 1
                    if descent is not None and done <= shrunk and n_halved <= DESCENTS:
                        chain.restart(balanced(descent.start).layers)
                        done = 0
                    else:
                        # What too long steps did to many weights is no good start for few.
                        descent, shrunk = None, -1
                        chain.restart(balanced(judge.best).layers)
                    epoch_end, begin, look = done, done, done + EARLY
                if tell is not None:
                    tell(done, n_steps, judge.least)
    except KeyboardInterrupt:
        raise Interrupted(judge.best) from None
    return judge.best
