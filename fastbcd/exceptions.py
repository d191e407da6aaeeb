"""The warnings and errors of fastbcd that programs may want to tell apart.

Other errors are the usual ones of Python: ``ValueError`` and ``TypeError`` for what was given,
``ImportError`` for an extra that is not installed, and scikit-learn's ``NotFittedError`` for
estimators without a network.
"""

from sklearn.exceptions import ConvergenceWarning as ConvergenceWarning

__all__ = [
    "BudgetError",
    "BudgetWarning",
    "ConvergenceWarning",
    "ExportWarning",
    "IgnoredParameterWarning",
]


class BudgetWarning(UserWarning):
    """A budget could not be kept; the best that was found is returned, and the text says how far
    off it is and what may help.

    Examples
    --------
    Make it an error:

    >>> import warnings
    >>> from fastbcd.exceptions import BudgetWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", BudgetWarning)
    """


class BudgetError(ValueError):
    """A budget that nothing can keep: the text says what the smallest size is."""


class ExportWarning(UserWarning):
    """The exported model does not reproduce the estimator in every respect; the text says in which
    respect.
    """


class IgnoredParameterWarning(UserWarning):
    """A parameter was set that the solver of this fit does not read, or not as far as it goes; the
    text names both.
    """
