"""Train a network that keeps one weight in five, and see what that saves."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from fastbcd import BCDClassifier
from fastbcd.schemes import Prune

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

dense = BCDClassifier((64, 32), random_state=0).fit(X_train, y_train)
pruned = BCDClassifier((64, 32), scheme=Prune(sparsity=0.8), random_state=0)
pruned.fit(X_train, y_train)

print(f"dense   test accuracy {dense.score(X_test, y_test):.4f}")
print(f"pruned  test accuracy {pruned.score(X_test, y_test):.4f}")
print(pruned.compression_report_)

# A fitted network can be compressed afterwards, too: without data, or refined on some.
projected = dense.compress(scheme=Prune(sparsity=0.8))
refined = dense.compress(X_train, y_train, scheme=Prune(sparsity=0.8))
print(f"dense, then pruned             test accuracy {projected.score(X_test, y_test):.4f}")
print(f"dense, then pruned and refined test accuracy {refined.score(X_test, y_test):.4f}")
