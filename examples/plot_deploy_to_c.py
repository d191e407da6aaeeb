"""
A network in C, in floats and in integers
=========================================

A pruned and quantised network as one C header, and the same predictions in C. :doc:`/deploy-c`
describes memory and speed.
"""

# sphinx_gallery_thumbnail_path = '_static/thumb-c.svg'

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastbcd import BCDClassifier
from fastbcd.schemes import Prune, Quantize

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0, stratify=y)

clf = BCDClassifier((64, 32), scheme=Prune(sparsity=0.8), random_state=0).fit(X_train, y_train)
both = Prune(sparsity=0.8) + Quantize(bits=4)
small = clf.compress(X_train, y_train, scheme={0: both, 1: both, "output": Quantize(bits=8)})
print(f"test accuracy in Python {small.score(X_test, y_test):.4f}")

# A program that reads rows of floats and prints their classes.
PROGRAM = """
#include <stdio.h>
#include "digits.h"

int main(void)
{
    float x[DIGITS_N_FEATURES];
    while (fread(x, sizeof(float), DIGITS_N_FEATURES, stdin) == DIGITS_N_FEATURES) {
        printf("%d\\n", (int)digits_classes[digits_predict(x)]);
    }
    return 0;
}
"""

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    for arithmetic in ("float", "int8"):
        # int8 arithmetic takes the ranges of the activations from some rows.
        small.to_c(folder / "digits.h", arithmetic=arithmetic, X=X_train)
        text = (folder / "digits.h").read_text()
        sizes = [line for line in text.splitlines() if re.match(r"#define \w+_BYTES", line)]
        print(f"\n{arithmetic}: {'; '.join(line.removeprefix('#define ') for line in sizes)}")
        if shutil.which("gcc") is None:
            print("There is no gcc here to compile it.")
            continue
        (folder / "main.c").write_text(PROGRAM)
        command = ["gcc", "-std=c99", "-Os", "main.c", "-o", "main", "-lm"]
        subprocess.run(command, cwd=folder, check=True)
        rows = X_test.astype(np.float32).tobytes()
        done = subprocess.run([folder / "main"], input=rows, capture_output=True, check=True)
        predicted = np.array(done.stdout.split(), int)
        print(f"test accuracy in C {np.mean(predicted == y_test):.4f}")
