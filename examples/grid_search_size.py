"""Search over the size of the network as over any other parameter."""

import warnings

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, train_test_split

from fastbcd import BCDClassifier
from fastbcd.schemes import LowRank, Prune, TensorTrain

warnings.simplefilter("ignore", ConvergenceWarning)  # short fits are enough to compare

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

clf = BCDClassifier((32,), scheme=Prune(sparsity=0.5), max_iter=40, random_state=0)
grid = [
    {"scheme__sparsity": [0.6, 0.8]},
    {"scheme": [LowRank(rank=6), TensorTrain(rank=6)]},
]
search = GridSearchCV(clf, grid, cv=3).fit(X_train, y_train)

results = search.cv_results_
for params, score in zip(results["params"], results["mean_test_score"], strict=True):
    print(f"{score:.4f}  {params}")

best = search.best_estimator_
print(f"\nbest: {best.scheme}, test accuracy {best.score(X_test, y_test):.4f}")
print(f"{best.compression_report_.ratio:.1f} times smaller than the dense network")
