"""The loaders, on small archives of the published layout that the tests make."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import struct
import urllib.request
import zipfile

import numpy as np
import pytest

from fastbcd import datasets
from fastbcd.datasets import mnist as _mnist
from fastbcd.datasets import solar_flares as _solar_flares
from fastbcd.datasets import uci_har as _uci_har
from fastbcd.datasets.remote import RemoteFile, data_home, obtain


def idx(array):
    header = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes())


@pytest.fixture
def mnist(tmp_path):
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 256, (6, 28, 28)), rng.integers(0, 10, 6),
        rng.integers(0, 256, (3, 28, 28)), rng.integers(0, 10, 3),
    ]  # fmt: skip
    for name, array in zip(_mnist.DIGESTS, arrays, strict=True):
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path, arrays


@pytest.fixture
def har(tmp_path):
    rng = np.random.default_rng(0)
    members = {}
    for part, n in (("train", 5), ("test", 3)):
        x = rng.uniform(-1, 1, (n, 4)).round(6)
        members[f"{part}/X_{part}.txt"] = "\n".join(" ".join(f"{v: e}" for v in row) for row in x)
        members[f"{part}/y_{part}.txt"] = "\n".join(str(v) for v in rng.integers(1, 7, n))
        members[f"{part}/subject_{part}.txt"] = "\n".join(str(v) for v in rng.integers(1, 31, n))
    return tmp_path, members


def pack_har(folder, members):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        for name, text in members.items():
            archive.writestr(f"UCI HAR Dataset/{name}", text)
    with zipfile.ZipFile(folder / _uci_har.ARCHIVE.name, "w") as outer:
        outer.writestr("UCI HAR Dataset.zip", inner.getvalue())


def flare_table(labels, n_features=4):
    names = ["label", "flare", "timestamp", "NOAA", "HARP"] + [f"f{k}" for k in range(n_features)]
    lines = [",".join(names)]
    for k, label in enumerate(labels):
        numbers = [str(k + j / 10) for j in range(n_features)]
        lines.append(",".join([label, "N", "2015-04-04T05:34:17.60Z", "1", "2", *numbers]))
    return "\n".join(lines) + "\n"


@pytest.fixture
def flares(tmp_path):
    folder = tmp_path / "solar_flares" / "M"
    folder.mkdir(parents=True)
    for part, labels in (
        ("training", ["Negative", "Positive"]),
        ("validation", ["Positive"]),
        ("testing", ["Negative", "Negative", "Positive"]),
    ):
        (folder / f"normalized_{part}.csv").write_text(flare_table(labels))
    return tmp_path


# Reading what was published


def test_mnist_is_read_from_its_four_files(mnist):
    folder, (x, y, x_test, y_test) = mnist
    found = datasets.fetch_mnist(data_home=folder, verify=False)
    np.testing.assert_allclose(found.X_train, x.reshape(6, -1) / 255, rtol=1e-6)
    np.testing.assert_allclose(found.X_test, x_test.reshape(3, -1) / 255, rtol=1e-6)
    np.testing.assert_array_equal(found.y_train, y)
    np.testing.assert_array_equal(found.y_test, y_test)
    assert found.X_train.dtype == np.float32


@pytest.mark.parametrize("letter", ["x", "X"])
def test_mnist_is_read_from_one_npz(tmp_path, letter):
    x = np.arange(2 * 784).reshape(2, 784) % 256
    names = [f"{letter}_train", "y_train", f"{letter}_test", "y_test"]
    arrays = dict(zip(names, [x, [1, 2], x[:1], [3]], strict=True))
    np.savez(tmp_path / "mnist.npz", **arrays)
    found = datasets.fetch_mnist(data_home=tmp_path)
    np.testing.assert_allclose(found.X_train, x / 255, rtol=1e-6)
    assert found.y_test.tolist() == [3]
    np.savez(tmp_path / "mnist.npz", x_train=x)
    with pytest.raises(ValueError, match="lacks the arrays y_train, x_test, y_test"):
        datasets.fetch_mnist(data_home=tmp_path)


@pytest.mark.parametrize("unpacked", [False, True])
def test_uci_har_is_read_from_the_archive_and_from_its_folder(har, unpacked):
    folder, members = har
    if unpacked:
        for name, text in members.items():
            path = folder / "UCI HAR Dataset" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    else:
        pack_har(folder, members)
    found = datasets.fetch_uci_har(data_home=folder, verify=False)
    for part, n in (("train", 5), ("test", 3)):
        np.testing.assert_array_equal(
            found[f"X_{part}"], np.loadtxt(io.StringIO(members[f"{part}/X_{part}.txt"]))
        )
        labels = np.loadtxt(io.StringIO(members[f"{part}/y_{part}.txt"]), dtype=int)
        np.testing.assert_array_equal(found[f"y_{part}"], labels - 1)
        assert found[f"subject_{part}"].shape == (n,)
    assert found.target_names[found.y_train].shape == (5,)


def test_solar_flares_join_training_and_validation(flares):
    found = datasets.fetch_solar_flares("M", data_home=flares, verify=False)
    assert found.X_train.shape == (3, 4)
    assert found.y_train.tolist() == [0, 1, 1]
    assert found.y_test.tolist() == [0, 0, 1]
    assert found.X_train[1].tolist() == [1.0, 1.1, 1.2, 1.3]
    assert found.feature_names == ["f0", "f1", "f2", "f3"]


def test_watch_har_cuts_each_recording_by_itself(tmp_path):
    rng = np.random.default_rng(0)
    lengths = np.array([100, 40, 130])
    signals = rng.standard_normal((270, 3)).astype("f4")
    path = tmp_path / "watch_har.npz"
    np.savez(path, signals=signals, lengths=lengths, y=[0, 1, 2], subject=[7, 8, 9])
    found = datasets.fetch_watch_har(data_home=tmp_path, window=64, hop=32)
    assert found.target.tolist() == [0, 0, 2, 2, 2]
    assert found.subject.tolist() == [7, 7, 9, 9, 9]
    last = datasets.window_features(signals[140:], window=64, hop=32)
    np.testing.assert_allclose(found.data[2:], last, rtol=1e-5, atol=1e-5)
    np.savez(path, signals=signals, lengths=[100], y=[0], subject=[1])
    with pytest.raises(ValueError, match="lengths add up to"):
        datasets.fetch_watch_har(data_home=tmp_path)


def test_window_features_are_the_documented_ones():
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((200, 3))
    found = datasets.window_features(signal, window=64, hop=50)
    assert found.shape == (3, 3 * 24 + 3)
    w = signal[50:114]
    np.testing.assert_allclose(found[1, :3], w.mean(axis=0))
    np.testing.assert_allclose(found[1, 3:6], w.std(axis=0), rtol=1e-8)
    np.testing.assert_allclose(found[1, 12:15], np.percentile(w, 25, axis=0))
    np.testing.assert_allclose(found[1, 24:27], np.corrcoef(w.T)[[0, 0, 1], [1, 2, 2]], rtol=1e-6)
    spectrum = np.abs(np.fft.rfft(w - w.mean(axis=0), axis=0))[1:17]
    np.testing.assert_allclose(found[1, 27:], np.log1p(spectrum).ravel())


def test_a_channel_at_rest_has_finite_features_and_a_short_signal_none():
    assert np.isfinite(datasets.window_features(np.ones((64, 2)), window=64)).all()
    short = datasets.window_features(np.ones((10, 2)))
    assert short.shape == (0, datasets.window_features(np.ones((128, 2))).shape[1])


def test_window_features_refuse_what_they_cannot_describe():
    with pytest.raises(ValueError, match="NaN or infinity"):
        datasets.window_features(np.full((200, 2), np.nan))
    with pytest.raises(ValueError, match="n_times, n_channels"):
        datasets.window_features(np.ones(200))
    with pytest.raises(ValueError, match="window must be an integer of at least 32"):
        datasets.window_features(np.ones((200, 2)), window=8)


# Fetching


def remote(tmp_path, content=b"published", digest=None):
    source = tmp_path / "server.bin"
    source.write_bytes(content)
    digest = digest or f"sha256:{hashlib.sha256(content).hexdigest()}"
    return RemoteFile("folder/file.bin", [source.as_uri()], digest)


FETCH = {"download_if_missing": True, "verify": True, "verbose": 1}


def test_a_file_is_fetched_once(tmp_path):
    file = remote(tmp_path)
    path = obtain(file, tmp_path / "home", **FETCH)
    assert path.read_bytes() == b"published"
    (tmp_path / "server.bin").unlink()
    assert obtain(file, tmp_path / "home", **FETCH) == path


def test_the_name_that_git_gives_is_a_digest_too(tmp_path):
    digest = f"git:{hashlib.sha1(b'blob 9' + bytes(1) + b'published').hexdigest()}"
    assert obtain(remote(tmp_path, digest=digest), tmp_path / "home", **FETCH).exists()


def test_the_next_mirror_is_tried(tmp_path):
    file = remote(tmp_path)
    file = RemoteFile(file.name, [(tmp_path / "gone").as_uri(), *file.urls], file.digest)
    assert obtain(file, tmp_path / "home", **FETCH).read_bytes() == b"published"


@pytest.mark.parametrize("kind", ["digest", "offline"])
def test_a_failed_download_says_where_to_put_the_file_and_leaves_nothing(tmp_path, kind):
    file = remote(tmp_path, digest="sha256:0" if kind == "digest" else None)
    if kind == "offline":
        (tmp_path / "server.bin").unlink()
    wanted = tmp_path / "home" / "folder" / "file.bin"
    with pytest.raises(OSError, match="put it at") as error:
        obtain(file, tmp_path / "home", **FETCH)
    assert str(wanted) in str(error.value)
    assert os.listdir(wanted.parent) == []


def test_an_interrupted_download_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(urllib.request, "urlopen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        obtain(remote(tmp_path), tmp_path / "home", **FETCH)
    assert os.listdir(tmp_path / "home" / "folder") == []


def test_another_file_under_the_name_is_refused_unless_told_otherwise(tmp_path):
    file = remote(tmp_path)
    path = tmp_path / file.name
    path.parent.mkdir()
    path.write_bytes(b"something else")
    with pytest.raises(ValueError, match="is not the published file"):
        obtain(file, tmp_path, **FETCH)
    assert obtain(file, tmp_path, **{**FETCH, "verify": False}) == path


@pytest.mark.parametrize(
    "fetch", [datasets.fetch_mnist, datasets.fetch_uci_har, datasets.fetch_solar_flares]
)
def test_without_download_a_missing_file_is_named(tmp_path, fetch):
    with pytest.raises(OSError, match=r"is missing\. Put the file from https://"):
        fetch(data_home=tmp_path, download_if_missing=False)
    with pytest.raises(OSError, match="is missing"):
        datasets.fetch_watch_har(data_home=tmp_path)


def test_the_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FASTBCD_DATA", str(tmp_path / "told"))
    assert data_home() == tmp_path / "told"
    assert data_home(tmp_path) == tmp_path
    monkeypatch.delenv("FASTBCD_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_home() == tmp_path / "cache" / "fastbcd"


# Damaged archives


@pytest.mark.parametrize("size", [0, 3, 10, 40, -1])
def test_a_cut_idx_file_is_refused(mnist, size):
    folder, _ = mnist
    path = folder / next(iter(_mnist.DIGESTS))
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ValueError, match=r"damaged|cut off"):
        datasets.fetch_mnist(data_home=folder, verify=False)


@pytest.mark.parametrize("raw", [b"", b"\0\0\x08\x03\xff\xff\xff\xff" * 2, b"\0\0\x0d\x01\0\0\0\1"])
def test_an_idx_header_that_lies_is_refused(tmp_path, raw):
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(raw))
    with pytest.raises(ValueError, match="not an IDX file"):
        _mnist.read_idx(path)


def test_an_archive_without_a_member_is_refused(har):
    folder, members = har
    del members["test/y_test.txt"]
    pack_har(folder, members)
    with pytest.raises(ValueError, match="lacks a member"):
        datasets.fetch_uci_har(data_home=folder, verify=False)


@pytest.mark.parametrize(("text", "message"), [("1 2 x", "table of numbers"), ("1\n2", "rows")])
def test_a_table_that_is_none_is_refused(har, text, message):
    folder, members = har
    members["train/y_train.txt"] = text
    pack_har(folder, members)
    with pytest.raises(ValueError, match=message):
        datasets.fetch_uci_har(data_home=folder, verify=False)


def test_a_cut_archive_is_refused(har):
    folder, members = har
    pack_har(folder, members)
    path = folder / _uci_har.ARCHIVE.name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="damaged"):
        datasets.fetch_uci_har(data_home=folder, verify=False)


@pytest.mark.parametrize(
    ("old", "new"), [("Positive", "Maybe"), ("1.2", "many"), (",1.3", ""), ("label", "truth")]
)
def test_a_flare_table_with_a_wrong_line_is_refused(flares, old, new):
    path = flares / "solar_flares" / "M" / "normalized_training.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=r"normalized_training\.csv"):
        datasets.fetch_solar_flares("M", data_home=flares, verify=False)


def test_every_published_flare_table_has_a_digest_of_git():
    digests = [d for parts in _solar_flares.DIGESTS.values() for d in parts.values()]
    assert len(set(digests)) == 9
    assert all(len(d) == 44 and d.startswith("git:") for d in digests)
    with pytest.raises(ValueError, match="flare_class must be one of"):
        datasets.fetch_solar_flares("X")
