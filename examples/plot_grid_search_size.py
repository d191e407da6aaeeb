"""
Search over the size of the network
===================================

The size is a parameter like any other: ``GridSearchCV`` sets it by name, or replaces the scheme.
"""

# sphinx_gallery_thumbnail_path = '_static/thumb-search.svg'

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split

from fastbcd import BCDClassifier
from fastbcd.schemes import LowRank, Prune, TensorTrain

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

clf = BCDClassifier((32,), scheme=Prune(sparsity=0.5), max_iter=20, random_state=0)
grid = [
    {"scheme__sparsity": [0.6, 0.8, 0.9]},
    {"scheme": [LowRank(rank=6), TensorTrain(rank=6)]},
]
search = GridSearchCV(clf, grid, cv=3).fit(X_train, y_train)

results = search.cv_results_
for params, score in zip(results["params"], results["mean_test_score"], strict=True):
    print(f"{score:.4f}  {params}")

# %%
# The winner is an ordinary fitted estimator. Its diagram shows the scheme among its parameters.

best = search.best_estimator_
print(f"test accuracy {best.score(X_test, y_test):.4f}")
print(f"{best.compression_report_.ratio:.1f} times smaller than the dense network")
best

# %%
# The smallest network that is good enough: scikit-learn accepts a function of the results as
# ``refit``. Here it chooses the sparsest network within one point of the best.


def smallest_within_a_point(results):
    scores, sparsity = results["mean_test_score"], results["param_scheme__sparsity"]
    good = [k for k, score in enumerate(scores) if score >= max(scores) - 0.01]
    return max(good, key=lambda k: sparsity[k])


search = GridSearchCV(clf, grid[0], cv=3, refit=smallest_within_a_point).fit(X_train, y_train)
print(search.best_params_)
