"""The course of a refinement: batches, lengths of steps, averages, and what to return."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastbcd.network.balance import balanced
from fastbcd.network.network import Network
from fastbcd.parallel.crew import Crew
from fastbcd.solvers.refine.adversary import Adversary
from fastbcd.solvers.refine.batches import Batches
from fastbcd.solvers.refine.chain import Chain
from fastbcd.solvers.refine.course import Course
from fastbcd.solvers.refine.descent import Descent
from fastbcd.solvers.refine.judge import Judge, is_worse
from fastbcd.solvers.refine.targets import Targets
from fastbcd.utils.types import Float

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
    if targets.n_rows < 2:
        return network
    unit = 1.0
    if not targets.classify:
        unit = float(np.std(targets.dense, axis=0).mean()) or 1.0
    targets = targets.changed(1 / unit, np.dtype(np.float32))
    start = _scaled(network, 1 / unit)
    try:
        with Crew.of_all() as crew:
            loop = Loop(start, x, targets, course, random_state, descent, crew)
            found = loop.run(tell)
        if found is not start and is_worse(found, start, x, targets):
            found = start
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


class Loop:
    """Steps of all layers, batch after batch, until the course is done.

    Steps that prove to be too long are taken back, and all that follow are half as long.

    Parameters
    ----------
    network, x, targets, course, random_state, descent
        As in :func:`refine`, the outputs in their unit and the targets in float32; two rows at
        least, one to learn from and one to judge by.
    crew : Crew
        Threads to use.
    """

    def __init__(
        self,
        network: Network,
        x: Float,
        targets: Targets,
        course: Course,
        random_state: np.random.RandomState,
        descent: Descent | None,
        crew: Crew,
    ) -> None:
        order = random_state.permutation(targets.n_rows)
        n_held = min(max(1, round(HELD_OUT * order.size)), 3000)
        held, train = order[:n_held], order[n_held:]
        some = train[:GRAM_ROWS]
        course = course.suited_to(targets, x[some], network)
        batch = min(course.batch_size, train.size)
        self._per_epoch = train.size // batch
        self._n_steps = max(1, round(course.epochs * self._per_epoch))
        # The step of the last loss of weights; who has more than are wanted is not judged.
        self._shrunk = int(course.shrinking * self._n_steps / MOVE_EVERY) * MOVE_EVERY
        if descent is None or course.moving == 0 or self._shrunk < 2 * MOVE_EVERY:
            descent, self._shrunk = None, -1
        self._targets, self._course, self._descent = targets, course, descent
        self._judge = Judge(targets, x[held], held, network, course.drop / Course.drop)
        begin_with = network if descent is None else descent.start
        self._chain = Chain(balanced(begin_with).layers, x[some], targets, some, crew)
        self._batches = Batches(x, train, batch, course.drop, random_state, crew)
        variance = float(x[some].var(axis=0, dtype=np.float64).sum())
        self._adversary = Adversary(course.radius, variance)
        self._rows, self._v = train[:0], np.empty((0, 0), np.float32)
        self._first = self._recent = np.inf
        self._n_halved = 0
        self._begin_at(0)

    def run(self, tell: Tell | None) -> Network:
        """Take all steps; return the best network that was judged."""
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                while self._done < self._n_steps and self._n_halved <= MOST_HALVINGS:
                    if not (self._measure() and self._step() and self._look()):
                        self._go_back()
                    if tell is not None:
                        tell(self._done, self._n_steps, self._judge.least)
        except KeyboardInterrupt:
            raise Interrupted(self._judge.best) from None
        return self._judge.best

    def _begin_at(self, done: int) -> None:
        """Go on from step ``done``: measure there, and look at the loss soon after."""
        self._done = self._begin = self._epoch_end = done
        self._look_at = done + EARLY

    def _measure(self) -> bool:
        """Refresh the metrics, move and shrink supports, each in its time; is all finite?"""
        done, sound = self._done, True
        ahead = max(0.0, 1 - done / max(self._course.moving * self._n_steps, 1e-9))
        share = self._course.moved * ahead
        due = done > 0 and done % MOVE_EVERY == 0
        if due:
            self._adversary.forget()
        if self._descent is not None and due and done <= self._shrunk:
            sound = self._chain.measure(share, self._descent.at(done / self._shrunk))
        elif done == self._epoch_end:
            sound = self._chain.measure()
        elif due and share > 0:
            sound = self._chain.measure(share)
        if done == self._epoch_end:
            self._epoch_end = min(self._n_steps, done + self._per_epoch)
        return sound

    def _step(self) -> bool:
        """Take a step on the next batch, or on the last one, moved; is its loss no wild one?"""
        moved = self._adversary.due()
        if moved:
            self._adversary.move(self._v, self._chain.input_pull)
        else:
            self._rows, self._v = self._batches.next(self._chain.used_inputs())
        course, done = self._course, self._done
        rate = 0.5 * course.rate * (1 + np.cos(np.pi * done / self._n_steps))
        steps = rate, course.momentum, course.decay
        outputs = self._chain.step(self._v, self._rows, *steps, self._adversary.wanted())
        if done < self._begin + EARLY and not moved and self._is_wild(outputs):
            self._done = self._begin
            return False
        self._done += 1
        if self._done > (1 - course.averaged) * self._n_steps:
            self._chain.average()
        return True

    def _is_wild(self, outputs: Float) -> bool:
        loss = self._targets.loss(outputs, self._rows)
        if self._done == self._begin:
            self._first = self._recent = loss
        self._recent += SMOOTHING * (loss - self._recent)
        bound = WILD if self._descent is None else WILD_DESCENT
        return not self._recent <= bound * self._first

    def _look(self) -> bool:
        """Judge the network, when it is time; is its loss near the least one?"""
        if self._done <= self._shrunk or self._done not in (self._look_at, self._epoch_end):
            return True
        return not self._judge.diverged(self._judge.see(self._chain.network()))

    def _go_back(self) -> None:
        """Take the last steps back, and go on with half the rate."""
        self._adversary.forget()
        self._course = replace(self._course, rate=self._course.rate / 2)
        self._n_halved += 1
        if self._descent is not None and self._done <= self._shrunk and self._n_halved <= DESCENTS:
            self._chain.restart(balanced(self._descent.start).layers)
            self._begin_at(0)
        else:
            # What too long steps did to many weights is no good start for few.
            self._descent, self._shrunk = None, -1
            self._chain.restart(balanced(self._judge.best).layers)
            self._begin_at(self._done)
