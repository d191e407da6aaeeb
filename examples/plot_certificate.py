"""
A certificate of convergence
============================

In float64 no block update raises the objective, each lowers it by at least the guaranteed amount,
and the rate is O(1/k). With ``certificate=True`` the estimator measures all three.
"""

import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from fastbcd import BCDClassifier
from fastbcd.display import ConvergenceDisplay
from fastbcd.schemes import TensorTrain

warnings.simplefilter("ignore", ConvergenceWarning)  # only the training history matters here

X, y = load_digits(return_X_y=True)  # float64, in which the guarantees hold to rounding
clf = BCDClassifier(
    (32,),
    scheme=TensorTrain(rank=6),
    tau=50.0,  # a constant tau: the published method
    max_iter=60,
    accelerate=False,
    certificate=True,
    random_state=0,
).fit(X, y)
history = clf.convergence_

print("sweep           F        loss     ||step||        ||g||   K min||g||^2")
for k in (1, 2, 5, 10, 20, 40, 60):
    if k <= clf.n_iter_:
        print(
            f"{k:5d} {history.objective[k]:11.5g} {history.loss[k]:11.5g} "
            f"{history.step_norm[k - 1]:12.4g} {history.subgradient_norm[k - 1]:12.4g} "
            f"{history.rate[k - 1]:14.4g}"
        )

# %%
# The same as plots. In the middle, every full line must be above the dotted line of its colour; on
# the right, the first line must stay bounded.

ConvergenceDisplay.from_estimator(clf).plot()

# %%
# Each guarantee as one number:

steps = [step for sweep in history.block_steps for step in sweep]
scale = history.objective[0]
margin = min((step.decrease - step.guaranteed) / scale for step in steps)
print(f"{len(steps)} block updates, {history.n_rises} sweeps that raised F")
print(f"minimum of (decrease - guaranteed) / F at the start: {margin:.1e}")
assert np.all(history.decreases >= -1e-12 * scale)
assert margin >= -1e-9
