"""Progress of a fit to scikit-learn's callbacks, where the installed version has them.

scikit-learn 1.9 introduced ``estimator.set_callbacks(...)``, experimental as yet. With older
versions the estimators are the same but for that method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeVar

from fastbcd.network.network import Network

Method = TypeVar("Method", bound=Callable[..., Any])

if TYPE_CHECKING:
    # scikit-learn ships no types; without these, those of ``fit`` would be lost.
    class CallbackSupportMixin:
        """Stands for scikit-learn's class, from scikit-learn 1.9 on."""

        def set_callbacks(self, *callbacks: Any) -> Self:
            """Set the callbacks that are told of every fit."""
            ...

    def with_callbacks(method: Method) -> Method:
        """Clean up after the callbacks of ``method``."""
        return method

else:
    try:
        from sklearn.callback import CallbackSupportMixin, with_callbacks
    except ImportError:  # before scikit-learn 1.9

        class CallbackSupportMixin:
            """Stands for scikit-learn's class of this name, which says that there are callbacks."""

        def with_callbacks(method: Any) -> Any:
            """Return ``method``: there is nothing to clean up."""
            return method


__all__ = ["CallbackSupportMixin", "FitTask", "with_callbacks"]


class FitTask:
    """A fit as scikit-learn's callbacks see it: a task with one subtask per sweep or epoch.

    Parameters
    ----------
    estimator : estimator
        What is fitted.
    data : dict
        ``X``, ``y`` and ``metadata`` as the callbacks shall see them.
    attributes : callable
        Takes a network and returns the fitted attributes that make a copy of the estimator ready
        to predict. It is called only if a callback asks for such a copy.
    """

    def __init__(
        self, estimator: Any, data: dict[str, Any], attributes: Callable[[Network], dict[str, Any]]
    ) -> None:
        self._estimator = estimator
        self._data = data
        self._attributes = attributes
        self._name = ""
        self._fit: Any = None
        self._sweep: Any = None

    def begin(self, name: str, most: int) -> None:
        """Say that a fit of at most ``most`` sweeps begins; ``name`` is what a sweep is called."""
        if not hasattr(self._estimator, "_init_callback_context"):
            return
        self._name = name
        self._fit = self._estimator._init_callback_context(max_subtasks=most)
        self._fit.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def begin_sweep(self) -> None:
        """Say that a sweep begins."""
        if self._fit is not None:
            self._sweep = self._fit.subcontext(task_name=self._name)
            self._sweep.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end_sweep(self, network: Network) -> bool:
        """Say that the sweep has ended with ``network``; return whether a callback says stop."""
        return self._sweep is not None and self._end(self._sweep, network)

    def end(self, network: Network) -> None:
        """Say that the fit has ended with ``network``."""
        if self._fit is not None:
            self._end(self._fit, network)

    def _end(self, context: Any, network: Network) -> bool:
        return bool(
            context.call_on_fit_task_end(
                estimator=self._estimator,
                reconstruction_attributes=lambda: self._attributes(network),
                **self._data,
            )
        )
