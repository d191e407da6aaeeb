r"""
A small network in a closed loop, certified
===========================================

Model predictive control solves an optimisation problem in every step. A network that imitates the
solutions is quicker, but does it keep the loop stable? Here a network controls a double integrator.
:func:`~fastbcd.compress` makes it smaller, and :func:`~fastbcd.certify` proves an ellipse of states
that no trajectory leaves, and in which all trajectories approach one point.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import block_diag, solve_discrete_are
from scipy.optimize import lsq_linear
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from fastbcd import BCDRegressor, certify, compress

warnings.simplefilter("ignore", ConvergenceWarning)
rng = np.random.default_rng(0)

# %%
# Position and speed follow :math:`x' = A x + B u` with a bounded force :math:`|u| \le 1`.

A, B = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([0.5, 1.0])
Q, R, HORIZON = np.diag([1.0, 0.5]), 1.0, 8
P = solve_discrete_are(A, B[:, None], Q, np.array([[R]]))

# %%
# The exact controller minimises the sum of :math:`x^\top Q x + R u^2` over the horizon, plus
# :math:`x^\top P x` at its end. As a function of all forces this is a sum of squares
# :math:`|M u + N x|^2` with bounds of u, which an active-set method solves exactly.

root_q, root_p = np.linalg.cholesky(Q).T, np.linalg.cholesky(P).T
reach = np.zeros((2, HORIZON))  # how each force moves the state
power = np.eye(2)
from_forces, from_state = [], []
for k in range(HORIZON):
    reach = A @ reach
    reach[:, k] += B
    power = A @ power
    root = root_p if k == HORIZON - 1 else root_q
    from_forces.append(root @ reach)
    from_state.append(root @ power)
M = np.vstack([*from_forces, np.sqrt(R) * np.eye(HORIZON)])
N = np.vstack([*from_state, np.zeros((HORIZON, 2))])


def exact(x):
    """Return the first force of the optimal ones."""
    return lsq_linear(M, -N @ x, (-1, 1), method="bvls").x[0]


X = rng.uniform(-1, 1, (3000, 2)) * [4, 2]
forces = np.array([exact(x) for x in X])

# %%
# A network imitates it and is compressed.

dense = BCDRegressor((32, 32), max_iter=300, random_state=0).fit(X, forces)
small = compress(dense, X, forces, ratio=4, certify=([-0.5, -0.5], [0.5, 0.5]), random_state=0)
print(small.compression_report_)

# %%
# The loop as a network
# ---------------------
# In the coordinates :math:`z = P^{1/2} x` the ellipse :math:`x^\top P x \le r^2` is a disc. One
# step of the loop, from z to the next z, is itself a network: beside the neurons of the controller,
# two more neurons carry the state, shifted so far that their ReLU is always on. Within the disc the
# certificate knows that they are linear.

U = np.linalg.cholesky(P).T
inverse = np.linalg.inv(U)


def closed_loop(controller, shift=100.0):
    """Return the network of one step in the coordinates z."""
    mlp = controller.to_sklearn()
    weights = [w.astype(float) for w in mlp.coefs_]
    biases = [b.astype(float) for b in mlp.intercepts_]
    weights[0] = np.hstack([inverse.T @ weights[0], np.eye(2)])
    biases[0] = np.append(biases[0], [shift, shift])
    for k in range(1, len(weights) - 1):
        weights[k] = block_diag(weights[k], np.eye(2))
        biases[k] = np.append(biases[k], [0, 0])
    push, move = (U @ B)[None], (U @ A @ inverse).T
    weights[-1] = np.vstack([weights[-1] @ push, move])
    biases[-1] = biases[-1] @ push - shift * move.sum(axis=0)
    sizes = [w.shape[1] for w in weights[:-1]]
    loop = MLPRegressor(hidden_layer_sizes=sizes, max_iter=1, random_state=0)
    loop.fit(np.zeros((2, 2)), np.zeros((2, 2)))
    loop.coefs_, loop.intercepts_ = weights, biases
    return loop


# %%
# Where does the loop come to rest? A few hundred steps show a point c that it approaches.

loop = closed_loop(small)
center = np.zeros((1, 2))
for _ in range(300):
    center = loop.predict(center)
error = np.linalg.norm(loop.predict(center) - center)

# %%
# If one step shrinks all distances in the disc of radius r around c by a factor below 1, and c
# moves less than the rest of the radius, no trajectory leaves the disc, and all come together. The
# largest such radius is found by bisection. Each certificate is proven by a Cholesky factorisation
# with all rounding errors counted.


def holds(r):
    """Return the certificate for the disc of radius r if it proves that none leaves it."""
    found = certify(loop, (center[0], r), max_seconds=2)
    stays = found.bound * r + error <= r * (1 - 1e-9)
    return found if found.verified and stays else None


low, high, proof = 0.0, 4.0, None
for _ in range(12):
    r = 0.5 * (low + high)
    found = holds(r)
    if found is None:
        high = r
    else:
        low, proof = r, found
print(f"rest at {(inverse @ center[0]).round(4)}, up to {error:.1e}")
print(f"invariant: radius {low:.3f}, each step shrinks distances to {proof.bound:.4f} or less")
print(proof)
assert proof.verified
assert proof.bound < 1

# %%
# Trajectories from the ellipse, and from outside, where nothing is certified:

angles = np.linspace(0, 2 * np.pi, 25)[:-1]
circle = np.column_stack([np.cos(angles), np.sin(angles)])
fig, ax = plt.subplots()
for z, colour in ((center + low * circle, "C0"), (center + 3 * low * circle, "0.7")):
    course = [z]
    for _ in range(30):
        course.append(loop.predict(course[-1]))
    course = np.array(course)
    if colour == "C0":
        distance = np.linalg.norm(course - center, axis=2)
        assert np.all(distance <= low * (1 + 1e-9))
    ax.plot(*np.moveaxis(course @ inverse.T, 2, 0), ".-", color=colour, lw=0.8, ms=3)
t = np.linspace(0, 2 * np.pi, 200)
edge = (center + low * np.column_stack([np.cos(t), np.sin(t)])) @ inverse.T
ax.plot(*edge.T, "C3", lw=2, label="certified: no trajectory leaves")
ax.set(xlabel="position", ylabel="speed", title="The loop with the compressed controller")
ax.legend()
plt.show()
