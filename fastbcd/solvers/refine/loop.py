"""The loop of a refinement: batches, step lengths, averages, and the returned network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from fastbcd.network.balance import balanced
from fastbcd.network.network import Network
from fastbcd.parallel.crew import Crew
from fastbcd.solvers.refine.adapted import adapted
from fastbcd.solvers.refine.adversary import Adversary
from fastbcd.solvers.refine.batches import Batches
from fastbcd.solvers.refine.chain import Chain
from fastbcd.solvers.refine.descent import Descent
from fastbcd.solvers.refine.judge import Judge, is_worse
from fastbcd.solvers.refine.settings import DEFAULTS, RefineSettings
from fastbcd.solvers.refine.targets import Targets
from fastbcd.utils.types import Float

Tell = Callable[[int, int, float], None]


class Interrupted(KeyboardInterrupt):
    """An interruption with the best network so far.

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
    settings: RefineSettings,
    random_state: np.random.RandomState,
    tell: Tell | None = None,
    descent: Descent | None = None,
) -> Network:
    """Return a network of the same formats that is nearer to the targets, or ``network`` itself.

    Outputs of a regression are scaled by their standard deviation, so that the steps do not depend
    on the units of the targets. All computations are in float32.

    Parameters
    ----------
    network : Network
        The network to start from.
    x : (n, d) array
        Inputs.
    targets : Targets
        Targets of these rows.
    settings : RefineSettings
        Length and numbers of the method.
    random_state : RandomState
        Source of the order of the rows and of the dropped inputs.
    tell : callable, optional
        Called after each step with the number of finished steps, the number of all steps, and the
        smallest held-out loss so far.
    descent : Descent, optional
        Start from a network with more weights and remove them on the way; the result is still
        compared with ``network``. Ignored if supports cannot move, and in short refinements. If the
        steps prove too long, the descent starts again with half the length, and is finally
        abandoned.

    Raises
    ------
    Interrupted
        After a KeyboardInterrupt; holds the best network so far.
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
            loop = Loop(start, x, targets, settings, random_state, descent, crew)
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
    """The loop over batches, each with one step of all layers.

    Steps that prove too long are taken back, and all later steps are half as long.

    Parameters
    ----------
    network, x, targets, settings, random_state, descent
        As in :func:`refine`, with scaled outputs and float32 targets. There are at least two rows,
        one to learn from and one to judge.
    crew : Crew
        Threads to use.
    """

    def __init__(
        self,
        network: Network,
        x: Float,
        targets: Targets,
        settings: RefineSettings,
        random_state: np.random.RandomState,
        descent: Descent | None,
        crew: Crew,
    ) -> None:
        order = random_state.permutation(targets.n_rows)
        n_held = min(max(1, round(settings.held_out * order.size)), 3000)
        held, train = order[:n_held], order[n_held:]
        some = train[: settings.gram_rows]
        settings = adapted(settings, targets, x[some], network)
        batch = min(settings.batch_size, train.size)
        self._per_epoch = train.size // batch
        self._n_steps = max(1, round(settings.epochs * self._per_epoch))
        # The step of the last removal of weights. A network with too many weights is not judged.
        every = settings.move_every
        self._shrunk = int(settings.shrinking * self._n_steps / every) * every
        if descent is None or settings.moving == 0 or self._shrunk < 2 * every:
            descent, self._shrunk = None, -1
        self._targets, self._settings, self._descent = targets, settings, descent
        dropping = settings.drop / DEFAULTS.drop
        self._judge = Judge(targets, x[held], held, network, dropping, settings)
        begin_with = network if descent is None else descent.start
        first = balanced(begin_with).layers
        self._chain = Chain(first, x[some], targets, some, crew, settings)
        self._batches = Batches(x, train, batch, settings.drop, random_state, crew, settings)
        variance = float(x[some].var(axis=0, dtype=np.float64).sum())
        self._adversary = Adversary(settings.radius, variance)
        self._rows, self._v = train[:0], np.empty((0, 0), np.float32)
        self._first = self._recent = np.inf
        self._n_halved = 0
        self._begin_at(0)

    def run(self, tell: Tell | None) -> Network:
        """Take all steps; return the best of the judged networks."""
        most = self._settings.most_halvings
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                while self._done < self._n_steps and self._n_halved <= most:
                    if not (self._measure() and self._step() and self._look()):
                        self._go_back()
                    if tell is not None:
                        tell(self._done, self._n_steps, self._judge.least)
        except KeyboardInterrupt:
            raise Interrupted(self._judge.best) from None
        return self._judge.best

    def _begin_at(self, done: int) -> None:
        """Go on from step ``done``: update the metrics, and check the loss soon after."""
        self._done = self._begin = self._epoch_end = done
        self._look_at = done + self._settings.early

    def _measure(self) -> bool:
        """Update metrics and supports when they are due; return whether all is finite."""
        done, sound = self._done, True
        ahead = max(0.0, 1 - done / max(self._settings.moving * self._n_steps, 1e-9))
        share = self._settings.moved * ahead
        due = done > 0 and done % self._settings.move_every == 0
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
        """Take a step on the next batch, or on the last one, moved; return whether it is sound."""
        moved = self._adversary.due()
        if moved:
            self._adversary.move(self._v, self._chain.input_pull)
        else:
            self._rows, self._v = self._batches.next(self._chain.used_inputs())
        settings, done = self._settings, self._done
        rate = 0.5 * settings.rate * (1 + np.cos(np.pi * done / self._n_steps))
        steps = rate, settings.momentum, settings.decay
        outputs = self._chain.step(self._v, self._rows, *steps, self._adversary.wanted())
        if done < self._begin + settings.early and not moved and self._is_wild(outputs):
            self._done = self._begin
            return False
        self._done += 1
        if self._done > (1 - settings.averaged) * self._n_steps:
            self._chain.average()
        return True

    def _is_wild(self, outputs: Float) -> bool:
        settings, loss = self._settings, self._targets.loss(outputs, self._rows)
        if self._done == self._begin:
            self._first = self._recent = loss
        self._recent += settings.wild_smoothing * (loss - self._recent)
        bound = settings.wild if self._descent is None else settings.wild_descent
        return not self._recent <= bound * self._first

    def _look(self) -> bool:
        """Judge the network if it is due; return whether its loss is near the smallest one."""
        if self._done <= self._shrunk or self._done not in (self._look_at, self._epoch_end):
            return True
        return not self._judge.diverged(self._judge.see(self._chain.network()))

    def _go_back(self) -> None:
        """Take the last steps back, and continue at half the rate."""
        self._adversary.forget()
        self._settings = replace(self._settings, rate=self._settings.rate / 2)
        self._n_halved += 1
        again = self._done <= self._shrunk and self._n_halved <= self._settings.descents
        if self._descent is not None and again:
            self._chain.restart(balanced(self._descent.start).layers)
            self._begin_at(0)
        else:
            # After too long steps, the many weights are no good start for the few.
            self._descent, self._shrunk = None, -1
            self._chain.restart(balanced(self._judge.best).layers)
            self._begin_at(self._done)
