"""
The frontier of size and accuracy
=================================

How small can the network be? One line for each method; all sizes are bytes, indices included.
"""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastbcd import BCDClassifier
from fastbcd.display import FrontierDisplay

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)
clf = BCDClassifier((128, 64), max_iter=30, random_state=0).fit(X_train, y_train)

# %%
# ``epochs=0`` skips the refinement: each layer is fitted to the outputs of the dense layer,
# which takes a fraction of a second. No labels are used.

display = FrontierDisplay.from_estimator(
    clf, X_train, y_train, X_test=X_test, y_test=y_test, ratios=(4, 8, 16), epochs=0
)
display.plot()

# %%
# With a short refinement, and the best scheme for each layer:

refined = FrontierDisplay.from_estimator(
    clf,
    X_train,
    y_train,
    X_test=X_test,
    y_test=y_test,
    schemes={"best for each layer, refined": None},
    ratios=(8, 16, 32),
    epochs=3,
)
both = FrontierDisplay({**display.paths, **refined.paths}, display.dense, display.score_name)
both.plot()

# %%
# Or set the acceptable drop in accuracy: the smallest network that loses at most two points, judged
# on rows that are set aside.

small = clf.compress(X_train, y_train, max_score_drop=0.02, epochs=1)
print(f"{small.compression_report_.ratio:.1f} times smaller, {small.score(X_test, y_test):.4f}")
