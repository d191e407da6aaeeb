"""Public data sets used by the benchmarks, downloaded once and verified against a digest.

The ``fetch_`` functions share the parameters ``data_home``, the folder of the files (by default
:func:`data_home`), ``download_if_missing``, ``verify`` and ``verbose``; :func:`fetch_watch_har` has
only ``data_home``. A file that is already in the folder is not downloaded, so a machine without a
network only needs a copy of it.
"""

from fastbcd.datasets.mnist import fetch_mnist as fetch_mnist
from fastbcd.datasets.remote import data_home as data_home
from fastbcd.datasets.solar_flares import fetch_solar_flares as fetch_solar_flares
from fastbcd.datasets.uci_har import fetch_uci_har as fetch_uci_har
from fastbcd.datasets.watch_har import fetch_watch_har as fetch_watch_har
from fastbcd.datasets.watch_har import window_features as window_features

__all__ = [
    "data_home",
    "fetch_mnist",
    "fetch_solar_flares",
    "fetch_uci_har",
    "fetch_watch_har",
    "window_features",
]
