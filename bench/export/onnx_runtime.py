"""Bytes of ONNX files and their latency in ONNX Runtime: dense against self-decompressing.

    python -m bench.export.onnx_runtime

Both are the same kind of session: one thread, all optimisations. Sessions take turns.
"""

from __future__ import annotations

import argparse
from functools import partial
from time import perf_counter

import numpy as np
import onnxruntime

from bench.export.networks import networks
from bench.timing import race

BATCHES = (1, 64, 1024)


def session(model):
    """Return a session of one thread and the milliseconds that it took to make it."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    data = model.SerializeToString()
    start = perf_counter()
    made = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return made, 1e3 * (perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=21)
    args = parser.parse_args()
    estimators, data = networks()
    X_test = data.x_test
    sessions = {}
    print(f"{'network':16s} {'bytes':>8s} {'load ms':>8s} {'error':>9s}  labels equal")
    for name, estimator in estimators.items():
        model = estimator.to_onnx()
        sessions[name], load = session(model)
        labels, chances = sessions[name].run(None, {"X": X_test})
        error = np.abs(chances - estimator.predict_proba(X_test)).max()
        equal = (labels == estimator.predict(X_test)).all()
        size = len(model.SerializeToString())
        print(f"{name:16s} {size:8d} {load:8.1f} {error:9.1e}  {equal}")
    for batch in BATCHES:
        x = X_test[:batch]
        runs = [partial(made.run, None, {"X": x}) for made in sessions.values()]
        taken = race(runs, args.rounds)
        cells = ", ".join(f"{n} {1e6 * t:.1f} us" for n, t in zip(sessions, taken, strict=True))
        print(f"batch {batch}: {cells}")


if __name__ == "__main__":
    main()
