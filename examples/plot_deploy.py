"""
Deploy: ONNX, C, and a file without pickle
==========================================

A compressed network is exported as an ONNX model, as one C header, or as a file that runs no code
when it is loaded. All of them contain the compressed weights.
"""

# sphinx_gallery_thumbnail_path = '_static/thumb-deploy.svg'

# %%
# A small network first.

import tempfile
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbcd
from fastbcd import BCDClassifier
from fastbcd.schemes import Prune

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype(np.float32), y, random_state=0, stratify=y
)
clf = BCDClassifier((64, 32), scheme=Prune(sparsity=0.9), random_state=0).fit(X_train, y_train)
right = clf.predict(X_test)
folder = Path(tempfile.mkdtemp())
print(f"accuracy {clf.score(X_test, y_test):.4f}, {clf.network_.n_bytes} bytes in memory")

# %%
# A file without code
# -------------------

clf.save(folder / "net.safetensors")
again = fastbcd.load(folder / "net.safetensors")
print((folder / "net.safetensors").stat().st_size, "bytes, same predictions:", end=" ")
print(np.array_equal(again.predict(X_test), right))

# %%
# ONNX
# ----
# The weights stay compressed in the file; ONNX Runtime unpacks them when it loads it. This needs
# ``pip install "fastbcd[onnx]"``.

try:
    import onnxruntime

    clf.to_onnx(folder / "net.onnx")
except ImportError as error:
    print("left out:", error)
else:
    session = onnxruntime.InferenceSession(folder / "net.onnx")
    labels = session.run(["label"], {"X": X_test})[0]
    print((folder / "net.onnx").stat().st_size, "bytes, same labels:", end=" ")
    print(np.mean(labels == right))

# %%
# C
# -
# One C99 header that needs no heap and no library, for microcontrollers and larger machines. The
# comment at its top contains an example.

clf.to_c(folder / "net.h")
header = (folder / "net.h").read_text()
print(header[: header.index("*/") + 2])

# %%
# With a C compiler, the header can be tried immediately.

import shutil
import subprocess

PROGRAM = """
#include <stdio.h>
#include "net.h"
int main(void) {
    float x[64];
    for (;;) {
        for (int i = 0; i < 64; i++) if (scanf("%f", &x[i]) != 1) return 0;
        printf("%d\\n", (int)net_predict(x));
    }
}
"""
compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
if compiler is None:
    print("left out: no C compiler was found")
else:
    (folder / "main.c").write_text(PROGRAM)
    command = [compiler, "-O2", "main.c", "-o", "net", "-lm"]
    subprocess.run(command, cwd=folder, check=True)
    rows = "\n".join(" ".join(f"{value:g}" for value in row) for row in X_test)
    done = subprocess.run([folder / "net"], input=rows, capture_output=True, text=True, check=True)
    found = np.array(done.stdout.split(), int)
    print("same classes as in Python:", np.mean(clf.classes_[found] == right))
