"""The options of the command line."""

from __future__ import annotations

import argparse

from fastbcd._version import __version__

ACTIVATIONS = ("relu", "leaky_relu", "hard_tanh", "identity")

DATA_HELP = (
    "CSV (a header if the first line holds no number), .npz with X and y, or .npy with the features"
)

TARGET_HELP = "column of the targets: name or number from 0, negative from the end; array of a .npz"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="fastbcd",
        description="Train and compress small neural networks on CPUs, without gradients.",
    )
    parser.add_argument("--version", action="version", version=f"fastbcd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    _add_fit(commands)
    _add_compress(commands)
    _add_report(commands)
    _add_export(commands)
    _add_predict(commands)
    _add_demo(commands)
    _add_warmup(commands)
    _add_info(commands)
    for command in commands.choices.values():
        command.add_argument("--traceback", action="store_true", help="show where an error arose")
    return parser


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(size) for size in text.split(",") if size.strip())


def _add_fit(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "fit",
        help="train a network on a table",
        description="Train a network, and compress it on the way if a scheme is given.",
    )
    command.add_argument("data", help=DATA_HELP)
    command.add_argument("--target", required=True, help=TARGET_HELP)
    command.add_argument("-o", "--output", required=True, help="file to write, *.safetensors")
    command.add_argument("--regression", action="store_true", help="predict numbers, not classes")
    command.add_argument(
        "--hidden", type=_sizes, default=(100,), help="widths of the hidden layers: 300,100"
    )
    command.add_argument("--activation", choices=ACTIVATIONS, default="relu")
    command.add_argument("--max-iter", type=int, help="most sweeps over the data")
    command.add_argument("--double", action="store_true", help="float64 instead of float32")
    _add_scheme(command)
    _add_running(command)


def _add_compress(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "compress",
        help="make a saved network small",
        description=(
            "Make a saved network small, by amounts (--sparsity, --rank, --tt-rank, --bits) or by "
            "one budget (--max-bytes, --ratio, --max-score-drop). Targets are not needed."
        ),
    )
    command.add_argument("model", help="saved network; with --allow-pickle also a scikit-learn MLP")
    command.add_argument("data", help=f"rows like those it will see: {DATA_HELP}")
    command.add_argument("--target", help=TARGET_HELP)
    command.add_argument("-o", "--output", required=True, help="file to write, *.safetensors")
    command.add_argument("--max-bytes", type=int, help="bound of the bytes of all arrays")
    command.add_argument("--ratio", type=float, help="how many times smaller than dense")
    command.add_argument("--max-score-drop", type=float, help="how much score may be lost")
    command.add_argument("--epochs", type=float, help="passes of the refinement; 0 leaves it out")
    command.add_argument(
        "--allow-pickle",
        action="store_true",
        help="open .pkl and .joblib models, which can run any code: only from who you trust",
    )
    _add_scheme(command)
    _add_running(command)


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser("report", help="show what a saved network is and takes")
    command.add_argument("model", help="saved network")


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "export", help="write a saved network as ONNX, as a C header or for PyTorch"
    )
    command.add_argument("model", help="saved network")
    command.add_argument(
        "-o", "--output", required=True, help="file to write; .onnx, .h or .pt names the target"
    )
    command.add_argument("--to", choices=("onnx", "c", "torch"), help="target, whatever the ending")
    command.add_argument("--opset", type=int, help="version of ONNX's operators")
    command.add_argument(
        "--arithmetic", choices=("float", "int8"), default="float", help="of the C header"
    )
    command.add_argument("--data", help="rows that set the scales of int8 arithmetic")
    command.add_argument("--target", help=TARGET_HELP)


def _add_predict(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "predict",
        help="predict the rows of a table",
        description="Print the predictions as CSV; with --target, the score to stderr as well.",
    )
    command.add_argument("model", help="saved network")
    command.add_argument("data", help=DATA_HELP)
    command.add_argument("--target", help=TARGET_HELP)
    command.add_argument("-o", "--output", help="CSV file to write instead of the screen")
    command.add_argument("--proba", action="store_true", help="probabilities of all classes")


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "demo",
        help="train on scikit-learn's digits, dense and compressed, and compare",
        description=(
            "Train scikit-learn's MLPClassifier and three BCDClassifiers (dense, pruned, tensor "
            "train) on the digits data, and print accuracy, size and time of each."
        ),
    )
    command.add_argument("--seed", type=int, default=0, help="seed of split and weights (0)")
    command.add_argument("--quiet", action="store_true", help="print the table only")


def _add_scheme(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("how to compress (several are combined)")
    group.add_argument("--sparsity", type=float, help="share of the weights to prune: 0.95")
    group.add_argument("--rank", type=int, help="rank of two thin factors")
    group.add_argument("--tt-rank", type=int, help="rank of a tensor train")
    group.add_argument("--bits", type=int, help="bits of a stored weight")
    group.add_argument("--output-bits", type=int, help="bits of a weight of the output layer")
    group.add_argument(
        "--scheme",
        nargs="+",
        choices=("prune", "low-rank", "tensor-train", "quantize"),
        help="kinds whose amounts the budget chooses",
    )


def _add_running(command: argparse.ArgumentParser) -> None:
    command.add_argument("--seed", type=int, default=0, help="seed of all random choices (0)")
    command.add_argument("-v", "--verbose", action="count", default=0, help="show progress")


def _add_warmup(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "warmup",
        help="compile all kernels now, so that no fit has to wait",
        description="Compile every kernel once and keep the machine code in the cache.",
    )
    command.add_argument(
        "--dtype", choices=("float32", "float64"), help="for data of this type only (default both)"
    )
    command.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="processes (default one per core)"
    )
    command.add_argument("--quiet", action="store_true", help="show no progress")


def _add_info(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    commands.add_parser(
        "info",
        help="print versions, processor, BLAS, threads and cache: for reports of bugs",
        description="Print what a report of a bug should contain.",
    )
