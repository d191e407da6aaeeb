"""A plain twin of the lock-step trainer: one network, one step at a time, in float64."""

import numpy as np
from reference_minibatch import SLOPES, VALUES


class Network:
    """One hidden layer and softmax outputs, trained by preconditioned steps."""

    def __init__(self, weights, biases, variances, settings, activation="relu"):
        self.value, self.slope = VALUES[activation], SLOPES[activation]
        self.w = [w.astype(float) for w in weights]
        self.b = [b.astype(float) for b in biases]
        self.settings = settings
        typical = (variances @ variances) / variances.sum()
        self.metric = variances[:, None] + settings.damping * typical
        h = self.w[1].shape[0]
        self.gram, self.mean, self.seen = np.zeros((h, h)), np.zeros(h), 0.0
        self.size, self.smooth = [None, None], [None, None]
        self.average, self.n_averaged, self.t = None, 0, 0

    def step(self, u, y, counts, weight):
        p = self.settings
        n, k = y.shape
        z = u @ self.w[0] + self.b[0]
        v = self.value(z)
        o = v @ self.w[1] + self.b[1]
        e = np.exp(o - o.max(axis=1, keepdims=True))
        smooth = p.smoothing
        d = (1 - smooth) * y + smooth / k - e / e.sum(axis=1, keepdims=True)
        d *= counts[:, None] / n
        if self.t == 0:
            self._observe(v, weight)
        if self.t % p.refresh == 0 or self.t in (2, 6):
            c = self.gram - np.outer(self.mean, self.mean)
            ridge = p.hidden_damping * np.sum(c * c) / np.trace(c) + 1e-6 * np.trace(c)
            self.inverse = np.linalg.inv(c + ridge * np.eye(len(c)))
            self.gain = np.linalg.solve(self.w[1].T @ self.w[1] + p.gain * np.eye(k), self.w[1].T)
        if self.t and self.t % p.observe == 0:
            self._observe(v, weight)
        back = (d @ self.gain) * self.slope(z)
        s, b = v.T @ d, d.sum(axis=0)
        s = self.inverse @ (s - np.outer(self.mean, b))
        b = b - self.mean @ s
        first, first_b = u.T @ back, back.sum(axis=0)
        size = np.sqrt(np.sum(first**2 / self.metric) / np.sum(self.w[0] ** 2 * self.metric))
        self._move(0, first / self.metric, first_b, size)
        self._move(1, s, b, np.linalg.norm(s) / np.linalg.norm(self.w[1]))
        self.t += 1
        if self.t % p.average_every == 0:
            self.n_averaged += 1
            now = [*self.w, *self.b]
            share = (p.average_power + 1) / (self.n_averaged + p.average_power)
            old = self.average or [np.zeros_like(a) for a in now]
            self.average = [a + share * (c - a) for a, c in zip(old, now, strict=True)]

    def _observe(self, v, weight):
        n = len(v)
        share = min(0.1, n / 5000) * self.settings.observe / 2
        self.seen = 1 - (1 - self.seen) * (1 - share)
        share /= self.seen
        self.gram = (1 - share) * self.gram + share * (v * weight[:, None]).T @ v / weight.sum()
        self.mean = (1 - share) * self.mean + share * weight @ v / weight.sum()

    def _move(self, layer, s, b, size):
        p = self.settings
        if self.t % p.measure == 0:
            old = self.smooth[layer]
            self.smooth[layer] = size if old is None else old + 0.2 * (size - old)
            self.size[layer] = max(self.smooth[layer], 0.3 * size)
        rise = min(1, (self.t + 1) / p.warm_up)
        rate = rise * p.length / self.size[layer]
        self.w[layer] = (1 - p.weight_decay * rise) * self.w[layer] + rate * s
        self.b[layer] = self.b[layer] + rate * b
