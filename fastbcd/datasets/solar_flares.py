"""Solar flares: predict from 40 features whether an active region flares within 24 hours."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from fastbcd.datasets.remote import RemoteFile, obtain
from fastbcd.utils import validation as check

COMMIT = "acc5273883186d9a635283be9318bfef1fc6c5fc"
SOURCE = (
    f"https://raw.githubusercontent.com/JasonTLWang/LSTM-flare-prediction/{COMMIT}/Table2_dataset"
)
DIGESTS = {
    "C": {
        "training": "git:575c18b9849edad07ef04c07fe9e20018b834239",
        "validation": "git:d977d658258b4702fbcdbcd61738e2d5d7e89dd2",
        "testing": "git:9e965c6e142689e9705f1d81254130481632c61c",
    },
    "M": {
        "training": "git:7a5eb3b14f8dc362ebf7bbe84cf25f2b43a8582f",
        "validation": "git:4d4aaf60aa9d2a500c54ba7cedd3da2e6684795e",
        "testing": "git:dcd8a33f39a16611302cc98fd9667cca464c711f",
    },
    "M5": {
        "training": "git:fdd48afa0d381f3b429893f8751fafd179677c09",
        "validation": "git:58af0b844cc6187fa9efa0fd3e227fe5900f7a71",
        "testing": "git:eda82d9f45bcfa8db5b23b344f717e034749d1ea",
    },
}
N_KEYS = 5
"""Number of leading columns without features: label, flare class, time, region, patch."""


def fetch_solar_flares(
    flare_class: str = "M",
    *,
    data_home: str | os.PathLike[str] | None = None,
    download_if_missing: bool = True,
    verify: bool = True,
    verbose: int = 0,
) -> Bunch:
    """Load the tables of Liu, Liu, Wang and Wang, with one row per active region and hour.

    Parameters
    ----------
    flare_class : {"C", "M", "M5"}, default="M"
        Minimum class of the flares that count as positive.
    data_home : path, optional
        Folder that contains ``solar_flares/M/normalized_training.csv`` and so on. The default is
        the result of :func:`fastbcd.datasets.data_home`.
    download_if_missing : bool, default=True
        Whether to download missing files.
    verify : bool, default=True
        Whether to compare the digests of the files with the published ones.
    verbose : int, default=0
        1 shows the progress of downloads on standard error.

    Returns
    -------
    Bunch
        ``X_train`` and ``X_test`` (n, 40), float64, normalised by the authors; ``y_train`` and
        ``y_test``, 1 if a flare followed within 24 hours, otherwise 0; ``feature_names``;
        ``target_names``. The training rows are the rows of the training and validation tables.

    Raises
    ------
    OSError
        If a table is missing and cannot be downloaded. The message states where to put it.
    ValueError
        If a table is damaged or is not the published table, or ``flare_class`` is unknown.

    References
    ----------
    Liu, Liu, Wang, Wang: Predicting Solar Flares Using a Long Short-Term Memory Network.
    The Astrophysical Journal 877:121, 2019. arXiv 1905.07095.
    """
    check.check_choice("flare_class", flare_class, DIGESTS)
    tables = {}
    for part, digest in DIGESTS[flare_class].items():
        name = f"{flare_class}/normalized_{part}.csv"
        file = RemoteFile(f"solar_flares/{name}", [f"{SOURCE}/{name}"], digest)
        path = obtain(
            file,
            data_home,
            download_if_missing=download_if_missing,
            verify=verify,
            verbose=verbose,
        )
        tables[part] = read_table(path)
    features = {tuple(table[2]) for table in tables.values()}
    if len(features) > 1:
        raise ValueError("The tables have different columns. Delete them and download them again.")
    x, y, names = tables["training"]
    x_more, y_more, _ = tables["validation"]
    return Bunch(
        X_train=np.concatenate([x, x_more]),
        y_train=np.concatenate([y, y_more]),
        X_test=tables["testing"][0],
        y_test=tables["testing"][1],
        feature_names=names,
        target_names=np.array(["Negative", "Positive"]),
    )


def read_table(path: Path) -> tuple[NDArray[np.float64], NDArray[np.int64], list[str]]:
    """Return the features (n, d), labels (n,) and feature names of one table.

    Raises
    ------
    ValueError
        If the file is not such a table. The message states the line.
    """
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        names = next(reader, [])
        if len(names) <= N_KEYS or names[0].lower() != "label":
            raise ValueError(f"{path} does not start with the columns label, flare, ...")
        rows, labels = [], []
        for row in reader:
            try:
                labels.append(("Negative", "Positive").index(row[0]))
                rows.append([float(cell) for cell in row[N_KEYS:]])
                if len(row) != len(names):
                    raise ValueError(f"{len(row)} cells instead of {len(names)}")
            except (ValueError, IndexError) as error:
                raise ValueError(f"{path}, line {reader.line_num}: {error}") from None
    x = np.array(rows, dtype=float).reshape(-1, len(names) - N_KEYS)
    return x, np.array(labels, dtype=np.int64), names[N_KEYS:]
