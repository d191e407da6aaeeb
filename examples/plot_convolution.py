"""
A convolutional network, compressed
===================================

Convolutions are trained by the same steps as dense layers and compressed by the same schemes. Here
the filters stay dense, and the layer with most of the weights is pruned.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from fastbcd import BCDClassifier
from fastbcd.layers import Conv2D, MaxPool2D
from fastbcd.schemes import Prune, Quantize

X, y = load_digits(return_X_y=True)
X = X.astype(np.float32)
layers = (Conv2D(12, kernel_size=3, padding="same"), MaxPool2D(2), 128)
clf = BCDClassifier(layers, input_shape=(8, 8), max_iter=40, random_state=0)
clf.fit(X[:1200], y[:1200])

# %%
# Layer 1 sees 4 x 4 pixels of 12 channels. It keeps one weight in twenty, as 4-bit codes.

small = clf.compress(X[:1200], y[:1200], scheme={1: Prune(sparsity=0.95) + Quantize(bits=4)})
print(small.compression_report_)
for name, model in {"dense": clf, "compressed": small}.items():
    print(f"{name:10}  {model.network_.n_bytes:6} bytes  {model.score(X[1200:], y[1200:]):.4f}")

# %%
# The filters, and their responses to an eight. A black response means that the filter does not
# respond to this digit anywhere.

first = small.network_.layers[0]
filters = first.weight.to_dense().T.reshape(-1, 3, 3)
eight = X[:1200][y[:1200] == 8][0]
answers = first.activate(first.linear(eight[None])).reshape(4, 4, 12)

figure, axes = plt.subplots(2, 12, figsize=(9, 1.9), layout="constrained")
limit = np.abs(filters).max()
for k in range(12):
    axes[0, k].imshow(filters[k], cmap="PuOr", vmin=-limit, vmax=limit)
    axes[1, k].imshow(answers[:, :, k], cmap="gray", vmin=0, vmax=answers.max())
for ax in axes.flat:
    ax.set_axis_off()
axes[0, 0].set_title("filters", loc="left", fontsize=9)
axes[1, 0].set_title("maxima of their responses to an 8", loc="left", fontsize=9)
