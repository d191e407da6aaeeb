"""Experiment 2: a convolution and two dense layers as tensor trains, on MNIST.

    python -m bench.paper.cnn [--ranks 40 220] [--full] [--seeds 1] [--methods NAME ...]
                              [--sweeps 40] [--seconds S] [--longer 25] [--quick]

3 x 3 filters with stride 2, 32 of them, then 1024-1024-10; 6000 training and 999 test rows, a
random tenth of each part, or with ``--full`` all of MNIST (fastbcd alone). Published steps with
the released settings: gamma = rho = 5, alpha = 1, tau = 0.1, 0.01 times normal, float32. They
would take hours to their published end (over 1000 sweeps), so they get ``--longer`` times the
seconds of ``fastbcd mini-batch``, or ``--seconds``, and the table says how far they came. Adam
gets as long as ``fastbcd mini-batch``. The method with shifts sees each image moved by up to a
pixel at random, which the published runs did not do: the table keeps it apart.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from bench.kept import Row
from bench.paper.contestants import (
    VALUES,
    Course,
    fastbcd_course,
    peer_course,
    size_ratio,
    train_modes,
)
from bench.paper.data import Split, add_arguments, images
from bench.paper.experiment import STYLES, Experiment, arguments, limits, middle
from fastbcd.schemes import TensorTrain

HIDDEN = (1024, 1024)
FILTERS, KERNEL, STRIDE = 32, 3, 2
FULL_SWEEPS = 40

GOALS = {40: 0.982, 220: 0.984}
"""The published accuracies, by rank."""

METHODS = (
    "fastbcd mini-batch",
    "fastbcd mini-batch, shifts",
    "fastbcd full",
    "published steps",
    "Adam, dense",
    "Adam, compressed, fine-tuned",
)

TEST, SECONDS = VALUES.index("test"), VALUES.index("seconds")

Courses = dict[str, list[list[Row]]]


class Net:
    """The network's sizes.

    Parameters
    ----------
    side : int
        Height and width of the images.
    hidden : tuple of int
        Units of the dense layers.
    rank : int
        Of their trains.
    """

    def __init__(self, side: int, hidden: tuple[int, ...], rank: int) -> None:
        self.image, self.hidden, self.rank = (side, side), hidden, rank
        grid = (side - KERNEL) // STRIDE + 1
        self.filtered = (grid, grid, FILTERS)
        self.n_features = prod(self.filtered)

    @property
    def modes(self) -> list[tuple[int, ...]]:
        """Modes of the published trains."""
        from bench.peers.published_cnn import MNIST_MODES

        if (self.n_features, *self.hidden) == (5408, 1024, 1024):
            return list(MNIST_MODES)
        widths = (self.n_features, *self.hidden)
        return [train_modes(widths[i + 1]) + train_modes(widths[i]) for i in range(len(widths) - 1)]


def ours(
    split: Split, net: Net, seed: int, seconds: float, solver: str, sweeps: int, shift: int = 0
) -> list[Row]:
    """Return the course of fastbcd."""
    from fastbcd.layers import Conv2D

    return fastbcd_course(
        split, (Conv2D(FILTERS, kernel_size=KERNEL, stride=STRIDE), *net.hidden), seed, seconds,
        solver=solver, input_shape=(*net.image, 1), random_shift=shift,
        max_iter=sweeps,
        scheme={1: TensorTrain(rank=net.rank), 2: TensorTrain(rank=net.rank)},
    )  # fmt: skip


def published(split: Split, net: Net, seed: int, seconds: float, sweeps: int) -> list[Row]:
    """Return the course of the published steps."""
    from bench.peers.published_cnn import PublishedCNN

    peer = PublishedCNN(
        net.image, net.hidden, split.n_classes, rank=net.rank, modes=net.modes,
        n_filters=FILTERS, kernel_size=KERNEL, stride=STRIDE, seed=seed,
    )  # fmt: skip
    return peer_course(peer, split, seconds, sweeps)


def adam(split: Split, net: Net, seed: int, seconds: float, compress: bool) -> list[Row]:
    """Return the course of Adam; with ``compress`` half of the time before TT-SVD, half after."""
    from bench.peers.adam_cnn import decompose, dense_net, train

    dense = dense_net(net.image, net.hidden, split.n_classes, n_filters=FILTERS,
                      kernel_size=KERNEL, stride=STRIDE, seed=seed)  # fmt: skip
    train(dense_net(net.image, (4,), split.n_classes), split.x[:64], split.y[:64], net.image, 0.01)
    course = Course(split)  # PyTorch has loaded its optimiser

    def after(network: Any) -> bool:
        return course.add(lambda x: network.predict(x, net.image))

    first = seconds / 2 if compress else seconds
    train(dense, split.x, split.y, net.image, first, seed=seed, after_epoch=after)
    if not compress:
        return course.rows
    small = decompose(dense, net.rank)
    after(small)
    train(small, split.x, split.y, net.image, seconds / 2, seed=seed + 1, after_epoch=after)
    return course.rows


def run(method: str, split: Split, net: Net, seed: int, seconds: float, sweeps: int) -> list[Row]:
    """Return the course of one method."""
    runs: dict[str, Callable[[], list[Row]]] = {
        "fastbcd mini-batch": lambda: ours(split, net, seed, seconds, "minibatch", 1000),
        "fastbcd mini-batch, shifts": lambda: ours(
            split, net, seed, seconds, "minibatch", 1000, shift=1
        ),
        "fastbcd full": lambda: ours(split, net, seed, seconds, "full", sweeps),
        "published steps": lambda: published(split, net, seed, seconds, 2000),
        "Adam, dense": lambda: adam(split, net, seed, seconds, compress=False),
        "Adam, compressed, fine-tuned": lambda: adam(split, net, seed, seconds, compress=True),
    }
    return runs[method]()


HEAD = (
    "rank", "size ratio of the dense layers", "method", "test accuracy at the end",
    "best on the way", "seconds", "sweeps or epochs", "seconds to the published accuracy",
)  # fmt: skip


def lines_of(net: Net, courses: Courses) -> list[list[object]]:
    """Return the lines of the table of one rank."""
    goal = GOALS.get(net.rank, np.inf)
    widths = (net.n_features, *net.hidden, 10)
    lines: list[list[object]] = []
    for method, runs in courses.items():
        image = net.filtered if method.startswith("fastbcd") else None
        ratio = size_ratio(widths, net.rank, image)
        reached = [next((r[SECONDS] for r in run if r[TEST] >= goal), np.inf) for run in runs]
        lines.append([
            net.rank, "1" if method == "Adam, dense" else f"{ratio:.4f}", method,
            middle([run[-1][TEST] for run in runs]),
            middle([max(row[TEST] for row in run) for run in runs]),
            middle([run[-1][SECONDS] for run in runs], 1), middle([run[-1][0] for run in runs], 0),
            middle(reached, 1),
        ])  # fmt: skip
    return lines


def draw(figure: Any, panels: dict[int, Courses], name: str) -> None:
    """Draw test accuracy over seconds, a panel for each rank."""
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, (rank, courses) in zip(axes, panels.items(), strict=True):
        for method, runs in courses.items():
            for number, course in enumerate(runs):
                table = np.array(course)
                ax.plot(
                    table[:, SECONDS], table[:, TEST], **STYLES[method], linewidth=1.4,
                    label=method if number == 0 else None, markersize=5,
                    markevery=max(1, len(course) // 8),
                )  # fmt: skip
        if rank in GOALS:
            ax.axhline(GOALS[rank], color="0.5", linewidth=0.8)
            ax.annotate(
                f"published: {GOALS[rank]} after >1000 sweeps", (0.02, GOALS[rank]), fontsize=7,
                xycoords=("axes fraction", "data"), va="bottom",
            )  # fmt: skip
        ax.set(xscale="log", xlabel="seconds of training", title=f"{name}, rank {rank}")
        ax.grid(color="0.9")
    low = 0.9 if name.startswith("MNIST") else 0.0
    axes[0].set(ylabel="test accuracy", ylim=(low, 1.0))
    axes[0].legend(fontsize=8, loc="lower right")


def main() -> None:
    """Measure what is missing, print the table and draw the figure."""
    parser = arguments(__doc__)
    add_arguments(parser, ("mnist",))
    parser.add_argument("--ranks", type=int, nargs="+", default=[40, 220])
    parser.add_argument("--full", action="store_true", help="all of MNIST, fastbcd alone")
    parser.add_argument("--sweeps", type=int, default=FULL_SWEEPS, help="of fastbcd full")
    parser.add_argument("--longer", type=float, default=25.0)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    options = parser.parse_args()
    side, hidden = 28, HIDDEN
    if options.quick:
        side, hidden, options.ranks, options.sweeps, options.seeds = 8, (32, 16), [4], 2, 1
        options.seconds = options.seconds or 0.5
    methods = [m for m in options.methods if not options.full or "mini-batch" in m]
    name = "cnn_full" if options.full else "cnn"
    experiment = Experiment(name, ("data", "limits", "rank", "method", "seed"), VALUES, options)
    lines: list[list[object]] = []
    panels: dict[int, Courses] = {}
    for rank in options.ranks:
        net = Net(side, hidden, rank)
        courses: Courses = {}
        for method in methods:
            for seed in range(options.seeds):
                split = images(options, seed, options.full)
                first = courses.get("fastbcd mini-batch", [])
                known = first[seed][-1][SECONDS] if len(first) > seed else 60.0
                longer = options.longer if method == "published steps" else 1.0
                limited = not method.startswith("fastbcd")
                seconds = options.seconds or (known * longer if limited else np.inf)
                course = experiment.rows(
                    (split.name, limits(options), rank, method, seed),
                    run,
                    method,
                    split,
                    net,
                    seed,
                    seconds,
                    options.sweeps,
                )
                courses.setdefault(method, []).append(course)
        lines += lines_of(net, courses)
        panels[rank] = courses
    note = f"{split.name}. The published steps were stopped after their seconds, far from the "
    note += "1593 (rank 40) and 1902 (rank 220) sweeps of the published runs."
    experiment.table(HEAD, lines, "" if options.full else note)
    experiment.figure(
        lambda figure: draw(figure, panels, split.name), width=4.8 * len(panels), height=4.2
    )


if __name__ == "__main__":
    main()
