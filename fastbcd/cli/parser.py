"""The commands and their options."""

from __future__ import annotations

import argparse

from fastbcd._version import __version__
from fastbcd.cli import options

Commands = argparse._SubParsersAction


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="fastbcd",
        description="Train and compress small neural networks on CPUs.",
        epilog="fastbcd COMMAND --help explains a command and shows examples.",
    )
    parser.add_argument("--version", action="version", version=f"fastbcd {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    for add in (
        _add_fit,
        _add_compress,
        _add_compare,
        _add_report,
        _add_export,
        _add_predict,
        _add_demo,
        _add_warmup,
        _add_info,
    ):
        command = add(commands)
        command.add_argument(
            "--traceback", action="store_true", help="show the Python traceback of an error"
        )
    return parser


def _command(
    commands: Commands[argparse.ArgumentParser], name: str, short: str, text: str, *examples: str
) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=short,
        description=text,
        epilog="\n".join([f"example{'s' if len(examples) > 1 else ''}:", *examples])
        .replace("\n", "\n  ")
        .rstrip(),
        formatter_class=options.Help,
    )


def _add_fit(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "fit",
        "train a network on a table",
        "Train a network on a table and save it. With a scheme, the network is "
        "compressed during training.",
        "fastbcd fit iris.csv --target species -o iris.safetensors",
        "fastbcd fit houses.csv --target price --regression --standardize \\",
        "    --one-hot auto --test-size 0.2 --hidden 64,32 -o houses.safetensors",
        "cat iris.csv | fastbcd fit - --target species --sparsity 0.9 -o i.safetensors",
    )
    command.add_argument("data", help=options.DATA_HELP)
    command.add_argument("--target", required=True, metavar="COLUMN", help=options.TARGET_HELP)
    command.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="file to write: *.safetensors"
    )
    options.add_fit(command)
    options.add_validation(command, "another table; its score is printed (default: none)")
    options.add_scheme(command)
    options.add_running(command)
    options.add_table(command, training=True)
    return command


def _add_compress(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "compress",
        "compress a saved network",
        "Make a saved network smaller, by amounts (--sparsity, --rank, --tt-rank, --bits) or by "
        "one budget (--max-bytes, --ratio, --max-score-drop). Targets are optional.",
        "fastbcd compress iris.safetensors iris.csv --ratio 10 -o small.safetensors",
        "fastbcd compress mlp.joblib rows.npy --allow-pickle --max-bytes 5000 -o s.st",
    )
    command.add_argument(
        "model",
        help="saved network; with --allow-pickle also a scikit-learn MLP (.pkl, .joblib) or a "
        "whole torch.nn.Sequential (.pt, as torch.save(model, path) writes it)",
    )
    command.add_argument("data", help=f"typical input rows: {options.DATA_HELP}")
    command.add_argument(
        "--target", metavar="COLUMN", help=f"{options.TARGET_HELP} (default: no targets)"
    )
    command.add_argument(
        "--regression", action="store_true", help="for .pt: the targets are numbers, not classes"
    )
    command.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="file to write: *.safetensors"
    )
    budget = command.add_argument_group("budget (give one of these, or amounts)")
    budget.add_argument(
        "--max-bytes", type=options.positive, metavar="N", help="maximum bytes of all arrays"
    )
    budget.add_argument(
        "--ratio",
        type=options.ratio,
        metavar="R",
        help="how many times smaller than the dense network, such as 10",
    )
    budget.add_argument(
        "--max-score-drop",
        type=options.drop,
        metavar="D",
        help="acceptable drop in score; 0.01 is one percentage point",
    )
    options.add_epochs(command)
    options.add_validation(
        command,
        "another table; its score is printed, and --max-score-drop is judged on it (default: none)",
    )
    command.add_argument(
        "--allow-pickle",
        action="store_true",
        help="open .pkl, .joblib and .pt files, which can run any code: only from people you trust",
    )
    options.add_scheme(command)
    options.add_running(command)
    options.add_table(command)
    return command


def _add_compare(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "compare",
        "train a network, compress it to several sizes and compare them on held-out rows",
        "Train a network on a part of the rows and compress it to several sizes. "
        "For each size, print the score on the other rows, the bytes of the file "
        "and the time to predict one row.",
        "fastbcd compare iris.csv --target species",
        "fastbcd compare houses.csv --target price --regression --ratios 5,20,80",
    )
    command.add_argument("data", help=options.DATA_HELP)
    command.add_argument("--target", required=True, metavar="COLUMN", help=options.TARGET_HELP)
    options.add_fit(command)
    command.add_argument(
        "--ratios",
        type=options.ratios,
        default="4,8,16,32",
        metavar="R,R,...",
        help="how many times smaller than the dense network",
    )
    command.add_argument(
        "--test-size",
        type=options.share,
        default=0.25,
        metavar="SHARE",
        help="share of rows to hold out for the score",
    )
    options.add_epochs(command)
    command.add_argument(
        "-o", "--output", metavar="FILE", help="additional CSV file to write (default: none)"
    )
    options.add_running(command)
    options.add_table(command, training=True)
    return command


def _add_report(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "report",
        "show the contents of a saved network",
        "Print the layers, classes, features and sizes of a saved network.",
        "fastbcd report iris.safetensors",
    )
    command.add_argument("model", help="saved network")
    return command


def _add_export(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "export",
        "write a saved network as ONNX, as a C header or for PyTorch",
        "Write a saved network in another format. ONNX and PyTorch need the "
        "extras of the same name.",
        "fastbcd export iris.safetensors -o iris.onnx",
        "fastbcd export iris.safetensors -o iris.h --arithmetic int8 --data iris.csv",
        "fastbcd export iris.safetensors -o iris.pt",
    )
    command.add_argument("model", help="saved network")
    command.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="file to write; its extension determines the format: .onnx, .h, or .pt for the "
        "state_dict of a torch.nn.Sequential, which torch.load(path, weights_only=True) reads",
    )
    command.add_argument(
        "--to",
        choices=("onnx", "c", "torch"),
        help="format (default: by the extension of the file)",
    )
    command.add_argument(
        "--opset", type=options.positive, metavar="N", help="ONNX opset (default: the newest)"
    )
    command.add_argument(
        "--arithmetic",
        choices=("float", "int8"),
        default="float",
        help="arithmetic of the C header",
    )
    command.add_argument(
        "--data",
        metavar="FILE",
        help=f"rows that determine the scales of int8: {options.DATA_HELP}",
    )
    command.add_argument(
        "--target", metavar="COLUMN", help=f"{options.TARGET_HELP} (default: no targets)"
    )
    options.add_quiet(command)
    options.add_table(command)
    return command


def _add_predict(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "predict",
        "predict the rows of a table",
        "Print the predictions as CSV. With --target, also print the score on stderr.",
        "fastbcd predict iris.safetensors new.csv -o predictions.csv",
        "cat new.csv | fastbcd predict iris.safetensors - --proba",
    )
    command.add_argument("model", help="saved network")
    command.add_argument("data", help=options.DATA_HELP)
    command.add_argument(
        "--target", metavar="COLUMN", help=f"{options.TARGET_HELP} (default: no score)"
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", help="CSV file to write (default: the standard output)"
    )
    command.add_argument(
        "--proba",
        action="store_true",
        help="print the probabilities of all classes instead of the predicted class",
    )
    options.add_quiet(command)
    options.add_table(command)
    return command


def _add_demo(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "demo",
        "train and compress networks on the digits data and compare them",
        "Train scikit-learn's MLPClassifier and BCDClassifiers (dense, pruned, tensor train, "
        "quantised) on the digits data, compress the MLPClassifier, and print accuracy, size and "
        "time of each.",
        "fastbcd demo",
        "fastbcd demo --seeds 1 --seed 7 --quiet",
    )
    command.add_argument(
        "--seed",
        type=options.seed,
        default=0,
        metavar="N",
        help="first seed of the split and the weights (default: 0)",
    )
    command.add_argument(
        "--seeds",
        type=options.positive,
        default=3,
        metavar="N",
        help="number of seeds to average over (default: 3)",
    )
    command.add_argument("-q", "--quiet", action="store_true", help="print only the table")
    return command


def _add_warmup(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    command = _command(
        commands,
        "warmup",
        "compile all kernels in advance",
        "Compile all kernels and cache the machine code.",
        "fastbcd warmup --dtype float32",
    )
    command.add_argument(
        "--dtype", choices=("float32", "float64"), help="type of the data (default: both)"
    )
    command.add_argument(
        "--jobs", type=int, default=-1, metavar="N", help="processes (default: one per core)"
    )
    command.add_argument("-q", "--quiet", action="store_true", help="show no progress")
    return command


def _add_info(commands: Commands[argparse.ArgumentParser]) -> argparse.ArgumentParser:
    return _command(
        commands,
        "info",
        "print the versions, processor, BLAS, threads and cache",
        "Print the details to include in a bug report.",
        "fastbcd info",
    )
