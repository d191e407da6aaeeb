"""MNIST, 300-100, 95 % pruned, codes of 4 bits: what the C header takes and how fast it is.

    python -m bench.export.c_size [--seed 0] [--keep FOLDER]

Prints, for float and int8 arithmetic and for the same network with all its entries in float: bytes
of machine code and of constants (gcc -Os, ``size -A``), static memory, how often C and Python
agree on the test set, accuracy, and the time of a prediction with -O2. Where the cross compiler is
installed, the same for a Cortex-M4, linked with its C library but without start-up code.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from bench.data import HIDDEN, load
from fastbcd import BCDClassifier, compress
from fastbcd.schemes import Prune, Quantize

ARM = "arm-none-eabi-gcc"
CORTEX_M4 = [ARM, "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"]
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic"]

PREDICT = """\
#include "net.h"
int predict(const float *x);
int predict(const float *x)
{
    return net_predict(x);
}
"""

LINKED = """\
#include "net.h"
static volatile float x[NET_N_FEATURES];
volatile int result;
int main(void)
{
    result = net_predict((const float *)x);
    return 0;
}
"""

TIMED = """\
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <time.h>
#include "net.h"
static float x[10000][NET_N_FEATURES];
static unsigned char y[10000];
int main(void)
{
    double least = 1e9;
    const size_t n = fread(x, sizeof x[0], 10000, stdin);
    for (int round = 0; round < 7; round++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (size_t i = 0; i < n; i++) {
            y[i] = (unsigned char)net_predict(x[i]);
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
        least = seconds < least ? seconds : least;
    }
    fprintf(stderr, "%.9g", least / (double)n);
    fwrite(y, 1, n, stdout);
    return 0;
}
"""


def run(command: list[Any], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, **options)


def sizes(compiler: list[str], folder: Path, source: str, linked: bool) -> dict[str, int]:
    """Return the bytes of code, constants and static memory."""
    (folder / "size.c").write_text(source)
    made = folder / "size.o"
    step = ["-nostartfiles", "-Wl,-e,main", "-Wl,--gc-sections"] if linked else ["-c"]
    library = ["-lm"] if linked else []
    flags = [*STRICT, "-Os", "-ffunction-sections", "-fdata-sections", *step]
    run([*compiler, *flags, folder / "size.c", "-o", made, *library])
    printed = run(["size", "-A", made]).stdout.decode()
    return {
        name: sum(int(n) for n in re.findall(rf"^\.{name}\S* +(\d+)", printed, re.MULTILINE))
        for name in ("text", "rodata", "data", "bss")
    }


def predictions(folder: Path, x: Any) -> tuple[Any, float]:
    """Return the classes of the rows and the seconds of a prediction, the least of seven rounds."""
    (folder / "timed.c").write_text(TIMED)
    run(["gcc", *STRICT, "-O2", folder / "timed.c", "-o", folder / "timed", "-lm"])
    done = run([folder / "timed"], input=np.ascontiguousarray(x, np.float32).tobytes())
    return np.frombuffer(done.stdout, np.uint8), float(done.stderr)


def filled(small: BCDClassifier, x: Any, seed: int) -> BCDClassifier:
    """Return the dense network with tiny numbers added to the weights: nothing can be left out."""
    dense = small.to_sklearn()
    for index, weight in enumerate(dense.coefs_):
        noise = np.random.default_rng(seed).uniform(1e-9, 1e-8, weight.shape)
        dense.coefs_[index] = (weight * (1 + 100 * noise) + noise).astype(weight.dtype)
    return compress(dense, x, scheme={}, epochs=0)


def networks(seed: int) -> tuple[Any, Any, Any]:
    """Return the data, the compressed classifier and the same with all its entries."""
    split = load("mnist")
    scheme = Prune(sparsity=0.95)
    clf = BCDClassifier(HIDDEN["mnist"], solver="minibatch", scheme=scheme, random_state=seed)
    clf.fit(split.x, split.y)
    pruned_score = clf.score(split.x_test, split.y_test)
    both = scheme + Quantize(bits=4)
    wanted = {0: both, 1: both, "output": Quantize(bits=8)}
    small = clf.compress(split.x, scheme=wanted, epochs=0, random_state=seed)
    full = filled(small, split.x[:1000], seed)
    print(
        f"test accuracy: pruned {pruned_score:.4f}, then coded "
        f"{small.score(split.x_test, split.y_test):.4f}"
    )
    for layer in small.network_.layers:
        print(f"  {layer.weight!r}")
    return split, small, full


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder that keeps the headers")
    options = parser.parse_args()
    split, small, full = networks(options.seed)
    truth = small.predict(split.x_test)
    print("\nheader          text  rodata    sum  static RAM   agree  accuracy      us")
    cases = [("float", small, {}), ("int8", small, {"arithmetic": "int8", "X": split.x[:1000]}),
             ("dense float", full, {})]  # fmt: skip
    for title, clf, choices in cases:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            clf.to_c(folder / "net.h", **choices)
            if options.keep is not None:
                options.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(folder / "net.h", options.keep / f"{title.replace(' ', '_')}.h")
            size = sizes(["gcc"], folder, PREDICT, linked=False)
            found, seconds = predictions(folder, split.x_test)
            print(
                f"{title:12s} {size['text']:7d} {size['rodata']:7d} "
                f"{size['text'] + size['rodata']:6d} {size['bss'] + size['data']:11d} "
                f"{np.mean(found == truth):7.4f} {np.mean(found == split.y_test):9.4f} "
                f"{1e6 * seconds:7.1f}"
            )
            if shutil.which(ARM):
                size = sizes(CORTEX_M4, folder, LINKED, linked=True)
                flash = size["text"] + size["rodata"] + size["data"]
                n_inputs = 4 * clf.n_features_in_
                print(
                    f"  Cortex-M4: flash {flash}, RAM {size['bss'] + size['data'] - n_inputs} "
                    f"besides {n_inputs} of the inputs"
                )


if __name__ == "__main__":
    main()
