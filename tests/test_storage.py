"""Files hold a fitted estimator exactly, are small, and are safe to open."""

from __future__ import annotations

import builtins
import errno
import io
import json
import os
import stat
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from deployed import N_IN, classifier, matrices, regressor, rows
from hypothesis import given
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbcd import BCDClassifier, load, storage
from fastbcd.formats import DenseMatrix
from fastbcd.io.codecs.container import DamagedError, pack, unpack
from fastbcd.io.codecs.streams import deflate, encode, inflate, to_gaps
from fastbcd.io.storage import document
from fastbcd.network.layers.activations import ALL_ACTIVATIONS
from fastbcd.schemes import LowRank, Prune, Quantize
from fastbcd.schemes.protocol import SCHEMES

DTYPES = [np.float32, np.float64]


def round_trip(estimator):
    return storage.from_bytes(storage.to_bytes(estimator))


def same_network(a, b):
    for one, other in zip(a.network_.layers, b.network_.layers, strict=True):
        assert type(one.weight) is type(other.weight)
        assert one.activation == other.activation
        np.testing.assert_array_equal(one.intercept, other.intercept)
        assert one.intercept.dtype == other.intercept.dtype
        state, again = one.weight.state_dict(), other.weight.state_dict()
        assert state.keys() == again.keys()
        for name, array in state.items():
            assert array.dtype == again[name].dtype, name
            np.testing.assert_array_equal(array, again[name], err_msg=name)


# The round trip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", matrices())
def test_every_format_comes_back_exactly(name, dtype):
    clf = classifier(matrices(dtype)[name])
    again = round_trip(clf)
    same_network(clf, again)
    x = rows(dtype=dtype)
    np.testing.assert_array_equal(clf.predict_proba(x), again.predict_proba(x))
    for ours, theirs in zip(clf.coefs_, again.coefs_, strict=True):
        assert ours.dtype == theirs.dtype == dtype
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (300, 1), (1, 300), (784, 300)], ids=str)
def test_shapes_of_all_sizes(shape, dtype):
    if shape == (1, 1):
        matrix = DenseMatrix(np.ones(shape, dtype))
        same_network(classifier(matrix), round_trip(classifier(matrix)))
        return
    for density in (0.0, 0.002, 0.05, 1.0):
        rng = np.random.default_rng(0)
        dense = (rng.standard_normal(shape) * (rng.random(shape) < density)).astype(dtype)
        from fastbcd.formats import SparseMatrix

        clf = classifier(SparseMatrix.from_dense(dense))
        again = round_trip(clf)
        same_network(clf, again)
        np.testing.assert_array_equal(again.coefs_[0], dense)


@pytest.mark.parametrize("activation", ALL_ACTIVATIONS)
def test_activations(activation):
    reg = regressor(activation=activation)
    np.testing.assert_array_equal(round_trip(reg).predict(rows()), reg.predict(rows()))


@pytest.mark.parametrize("flat", [True, False])
def test_a_regressor_keeps_the_shape_of_its_predictions(flat):
    reg = regressor(flat=flat)
    assert round_trip(reg).predict(rows()).shape == reg.predict(rows()).shape


@pytest.mark.parametrize(
    "classes",
    [
        np.array([0, 1, 2]),
        np.array([0, 1, 2], np.uint8),
        np.array([-(2**62), 0, 2**62]),
        np.array([0.1, 0.2, 1e300]),
        np.array([0.1, 0.2, 0.3], np.float32),
        np.array(["a", "bb", "ä日本"]),
        np.array(["a", "b", "c"], "U50"),
        np.array(["a", "b", "c"], object),
        np.array([1, "b", 2.5], object),
    ],
    ids=lambda classes: str(classes.dtype),
)
def test_classes_come_back_in_their_type(classes):
    clf = classifier()
    clf.classes_ = classes
    again = round_trip(clf).classes_
    assert again.dtype == classes.dtype
    assert [type(label) for label in again.tolist()] == [type(label) for label in classes.tolist()]
    np.testing.assert_array_equal(again, classes)


def test_two_classes_of_booleans():
    clf = classifier(classes=(False, True))
    assert round_trip(clf).classes_.dtype == bool


def test_labels_that_a_file_cannot_hold_are_refused():
    clf = classifier()
    clf.classes_ = np.array(["2020", "2021", "2022"], "datetime64[Y]")
    with pytest.raises(ValueError, match="cannot hold classes of type datetime64"):
        storage.to_bytes(clf)


def test_several_labels_per_row():
    clf = classifier(multilabel=True, loss="hinge")
    again = round_trip(clf)
    np.testing.assert_array_equal(again.predict(rows()), clf.predict(rows()))
    np.testing.assert_array_equal(again.predict_proba(rows()), clf.predict_proba(rows()))


def test_parameters_come_back():
    params = {
        "scheme": {0: Prune(sparsity=0.5) + Quantize(bits=4), "output": None, -2: LowRank(rank=3)},
        "class_weight": {"a": 1, "b": 2.5},
        "random_state": np.int64(3),
        "tau": 0.1 + 0.2,
        "max_iter": 10**12,
        "verbose": True,
        "proximal": float("inf"),
    }
    clf = classifier(**params)
    again = round_trip(clf)
    assert again.get_params() == clf.get_params()
    assert list(again.scheme) == list(clf.scheme)
    assert isinstance(again.hidden_layer_sizes, tuple)


@pytest.mark.parametrize("value", [np.random.RandomState(0), object(), {1: open}])
def test_parameters_that_a_file_cannot_hold_are_named(value):
    clf = classifier(random_state=value)
    with pytest.raises(ValueError, match=r"cannot hold random_state=.*set_params\(random_state"):
        storage.to_bytes(clf)


def test_a_scheme_of_the_user_comes_back_where_its_class_exists():
    class Mine(Prune):
        pass

    data = storage.to_bytes(classifier(scheme=Mine(sparsity=0.5)))
    assert storage.from_bytes(data).scheme == Mine(sparsity=0.5)
    del SCHEMES["Mine"]
    with pytest.raises(DamagedError, match="scheme 'Mine' is unknown"):
        storage.from_bytes(data)


def test_feature_names_and_the_report_come_back():
    clf = classifier()
    clf.feature_names_in_ = np.array([f"größe {i}" for i in range(N_IN)], object)
    again = round_trip(clf)
    np.testing.assert_array_equal(again.feature_names_in_, clf.feature_names_in_)
    assert again.compression_report_ == clf.compression_report_
    assert str(again.compression_report_) == str(clf.compression_report_)
    assert (again.n_iter_, again.best_iter_, again.n_features_in_) == (7, 5, N_IN)


def test_a_fitted_estimator_goes_on_learning_after_a_file(tmp_path):
    x = rows(300)
    y = (x[:, 0] > 0).astype(int)
    clf = BCDClassifier((8,), scheme=Prune(sparsity=0.5), random_state=0).fit(x, y)
    clf.save(tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    np.testing.assert_array_equal(again.predict(x), clf.predict(x))
    again.partial_fit(x[:100], y[:100])
    assert again.score(x, y) > clf.score(x, y) - 0.02
    again.compress(scheme=Prune(sparsity=0.8))


def test_what_cannot_be_saved_says_why(tmp_path):
    path = tmp_path / "net.safetensors"
    with pytest.raises(TypeError, match=r"pipeline\[-1\]\.save"):
        storage.save(make_pipeline(StandardScaler(), classifier()), path)
    with pytest.raises(TypeError, match="not MLPClassifier"):
        storage.save(MLPClassifier(), path)
    with pytest.raises(NotFittedError):
        BCDClassifier().save(path)

    class Mine(BCDClassifier):
        pass

    with pytest.raises(TypeError, match="not Mine"):
        storage.save(Mine(), path)
    assert not path.exists()


# Other readers


def test_the_safetensors_package_reads_it(tmp_path):
    safetensors = pytest.importorskip("safetensors")
    clf = classifier(matrices()["sparse"])
    clf.save(tmp_path / "net.safetensors")
    with safetensors.safe_open(tmp_path / "net.safetensors", "numpy") as file:
        assert file.metadata()["format"] == f"fastbcd {document.VERSION}"
        # Matrices are there as they are.
        np.testing.assert_array_equal(file.get_tensor("1.weight"), clf.coefs_[1])
        for name in file.keys():  # noqa: SIM118  # it is no mapping
            assert file.get_tensor(name).size


def test_the_container_is_read_back_whatever_wrote_it():
    rng = np.random.default_rng(0)
    arrays = {
        "a": rng.standard_normal((3, 4)),
        "ä": np.arange(5, dtype=np.uint8),
        "scalar": np.float32(2.5).reshape(()),
        "empty": np.zeros((0, 7), np.float32),
        "words": np.arange(3, dtype=np.uint16),
    }
    found, metadata = unpack(pack(arrays, {"what": '"quoted" \\ ä'}))
    assert metadata == {"what": '"quoted" \\ ä'}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert found[name].flags.writeable


# Sizes


def entropy_bytes(symbols):
    counts = np.unique(symbols, return_counts=True)[1]
    return -(counts * np.log2(counts / counts.sum())).sum() / 8


def test_streams_come_near_their_entropy():
    shape = (784, 300)
    matrix = matrices(shape=shape)["codebook sparse of 16"]
    gaps = to_gaps(matrix.columns, matrix.row_lengths, shape[1])
    bound = entropy_bytes(gaps) + entropy_bytes(matrix.codes) + matrix.codebook.nbytes
    assert bound < storage.encoded_size(matrix) < 1.03 * bound


@pytest.mark.parametrize("levels", [5, 40, 100])
def test_codes_that_straddle_bytes_are_packed_by_their_frequency(levels):
    rng = np.random.default_rng(0)
    from fastbcd.formats import CodebookMatrix

    codes = np.minimum(rng.geometric(0.3, (200, 100)) - 1, levels - 1).astype(np.uint8)
    matrix = CodebookMatrix(codes, rng.standard_normal(levels).astype(np.float32))
    assert storage.encoded_size(matrix) < 1.06 * (entropy_bytes(codes) + 4 * levels)
    same_network(classifier(matrix), round_trip(classifier(matrix)))


def test_the_size_of_a_format_is_that_of_its_streams():
    for matrix in matrices().values():
        arrays = encode(matrix.state_dict()).arrays
        assert storage.encoded_size(matrix) == sum(a.nbytes for a in arrays.values())
        # It says more than to_dense, so never much more than the plain arrays.
        assert storage.encoded_size(matrix) <= matrix.n_bits // 8


@given(st.lists(st.integers(0, 2000), max_size=30), st.integers(1, 40), st.integers(1, 40))
def test_gaps_lead_back_to_the_places(places, n_in, n_out):
    from fastbcd.formats import SparseMatrix

    dense = np.zeros(n_in * n_out, np.float32)
    dense[[place % dense.size for place in places]] = 1
    matrix = SparseMatrix.from_dense(dense.reshape(n_in, n_out))
    clf = classifier(matrix)
    np.testing.assert_array_equal(round_trip(clf).coefs_[0], clf.coefs_[0])
    gaps = to_gaps(matrix.columns, matrix.row_lengths, n_out).tolist()
    place, found = -1, []
    for gap in gaps:
        place += gap if gap == 255 else gap + 1
        if gap != 255:
            found.append(place)
    assert found == np.flatnonzero(dense).tolist()


# Hostile files


@pytest.fixture(scope="module")
def data():
    return storage.to_bytes(classifier(matrices()["codebook sparse of 16"]))


def refuses(data, tmp_path=None):
    with pytest.raises(DamagedError):
        storage.from_bytes(bytes(data))


def test_a_file_cut_anywhere_is_refused(data):
    for length in range(len(data)):
        refuses(data[:length])
    storage.from_bytes(data)


def test_a_flipped_byte_anywhere_is_noticed(data):
    rng = np.random.default_rng(0)
    for place in range(0, len(data), 2):
        broken = bytearray(data)
        broken[place] ^= rng.integers(1, 256)
        refuses(broken)


def test_the_error_names_the_file(tmp_path, data):
    path = tmp_path / "net.safetensors"
    path.write_bytes(data[:-1])
    with pytest.raises(ValueError, match=r"net\.safetensors cannot be loaded: .*cut off"):
        load(path)
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(ValueError, match="it is a zip archive"):
        load(path)
    with pytest.raises(FileNotFoundError, match="absent"):
        load(tmp_path / "absent.safetensors")


def altered(data, change_header=None, change_details=None, change_arrays=None):
    """Return a file whose checksum is right again after the changes."""
    arrays, metadata = unpack(data)
    size = int(metadata["details"].split()[0])
    details = json.loads(inflate(arrays["details"].tobytes(), size, document.EXPECTED))
    if change_details:
        details = change_details(details) or details
    if change_arrays:
        change_arrays(arrays)
    text = json.dumps(details).encode()
    arrays["details"] = np.frombuffer(deflate(text, document.EXPECTED), np.uint8)
    metadata["details"] = str(len(text))
    if change_header:
        change_header(metadata)
    return pack(arrays, metadata)


def raw(header, buffer=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    head = len(text).to_bytes(8, "little") + text
    return head + buffer


def entry(dtype="U8", shape=(4,), offsets=(0, 4)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


@pytest.mark.parametrize(
    ("header", "complaint"),
    [
        (b"[]", "not a JSON object"),
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a":{},"a":{}}', "stands twice"),
        ({"a": 1}, "not described"),
        ({"a": entry("F8_E4M3")}, "unknown type"),
        ({"a": entry(shape=[-4])}, "proper shape"),
        ({"a": entry(shape=[4.0])}, "proper shape"),
        ({"a": entry(shape=[True] * 4)}, "proper shape"),
        ({"a": entry(shape=[2**62, 2**62])}, "other bytes"),
        ({"a": entry(shape=[1] * 100)}, "proper shape"),
        ({"a": entry(offsets=[0, 4, 4])}, "proper place"),
        ({"a": entry(offsets=[4, 0])}, "overlaps another or leaves a gap"),
        ({"a": entry(), "b": entry()}, "overlaps another or leaves a gap"),
        ({"a": entry(), "b": entry(offsets=[2, 6])}, "overlaps another or leaves a gap"),
        ({"a": entry(offsets=[0, 2**62], shape=[2**62])}, "cut off"),
        ({"a": entry(shape=[3], offsets=[0, 3])}, "belong to no array"),
        ({"__metadata__": {"a": 1}, "a": entry()}, "not strings"),
        ({"__metadata__": [], "a": entry()}, "not strings"),
        ({"a": entry()}, "checksum"),
    ],
    ids=str,
)
def test_headers_that_lie_are_refused(header, complaint):
    with pytest.raises(DamagedError, match=complaint):
        unpack(raw(header, bytes(4)))


def test_a_header_longer_than_the_file_is_refused_without_reading_it():
    with pytest.raises(DamagedError, match="cut off"):
        unpack((2**60).to_bytes(8, "little") + b"{}")


def set_header(key, value):
    return {"change_header": lambda metadata: metadata.update({key: value})}


def set_layer(**changes):
    def change(details):
        details["layers"][0].update(changes)

    return {"change_details": change}


def set_fitted(**changes):
    return {"change_details": lambda details: details["fitted"].update(changes)}


def set_params(**changes):
    return {"change_details": lambda details: details["params"].update(changes)}


def set_array(name, array):
    return {"change_arrays": lambda arrays: arrays.update({name: array})}


LIES = {
    "foreign": (set_header("format", "pt"), "not written by fastbcd"),
    "newer": (set_header("format", "fastbcd 99"), "version 99.*pip install -U fastbcd"),
    "class": (set_header("class", "os.system"), "unknown here"),
    "size of details": (set_header("details", "10"), "damaged"),
    "huge details": (set_header("details", str(2**50)), "impossible size"),
    "no details": (set_header("details", "many"), "damaged"),
    "kind": (set_layer(kind="wavelet"), "'wavelet', which is unknown here.*Upgrade"),
    "activation": (set_layer(activation="exec"), "'exec', which is unknown here"),
    "wide": (set_layer(short={"n_out": 2**31, "n_in": N_IN}), "intercepts than columns"),
    "tall": (set_layer(short={"n_out": 18, "n_in": 2**31}), "absurd"),
    "negative": (set_layer(short={"n_out": 18, "n_in": -1}), "no short list"),
    "short": (set_layer(short=[]), "damaged"),
    "no sizes": (set_layer(short={}), "is missing"),
    "packed": (set_layer(packed={"gaps": ["F32", [2**40]]}), "impossible size"),
    "packed of nothing": (set_layer(packed={"gaps": 3}), "not described"),
    "packed type": (set_layer(packed={"gaps": ["S", [3]]}), "not described"),
    "targets": (set_fitted(targets=17), "do not fit"),
    "more classes": (set_fitted(classes=["<i8", list(range(9))]), "do not fit"),
    "long strings": (set_fitted(classes=["<U100000000", ["a", "b", "c"]]), "too much memory"),
    "label type": (set_fitted(classes=["O", [[], [], []]]), "no labels"),
    "label void": (set_fitted(classes=["V8", ["a", "b", "c"]]), "no labels"),
    "label numbers": (set_fitted(classes=["|i1", [1, 2, 300]]), "damaged|do not fit"),
    "names": (set_fitted(feature_names=["x"]), "one name for each feature"),
    "name types": (set_fitted(feature_names=[1] * N_IN), "one name for each feature"),
    "parameter": (set_params(hidden_layers=3), "no parameter hidden_layers here"),
    "scheme": (set_params(scheme={"scheme": ["Scheme", {}]}), "scheme 'Scheme' is unknown"),
    "scheme import": (set_params(scheme={"scheme": ["os.system", {}]}), "is unknown"),
    "scheme field": (set_params(scheme={"scheme": ["Prune", {"x": 1}]}), "unknown here"),
    "tag": (set_params(scheme={"call": "exit()"}), "unknown kind 'call'"),
    "tags": (set_params(scheme={"a": 1, "b": 2}), "not written as one"),
    "extra array": (set_array("9.gaps", np.zeros(3, np.uint8)), "'9.gaps' is unknown"),
    "array": (set_array("gaps", np.zeros(3, np.uint8)), "'gaps' is unknown"),
    "intercept": (set_array("1.intercept", np.zeros(9, np.float32)), "intercepts than columns"),
    "intercept type": (set_array("1.intercept", np.zeros(3, np.uint8)), "intercepts than columns"),
    "chain": (set_array("1.weight", np.zeros((5, 3), np.float32)), "the layer before it"),
    "weight": (set_array("1.weight", np.zeros(54, np.float32)), "damaged"),
    "codes": (set_array("0.codes", np.zeros(3, np.uint8)), "damaged"),
    "codebook": (set_array("0.codebook", np.zeros(3, np.float32)), "damaged"),
    "no layers": (
        {"change_details": lambda details: details.update(layers=[])},
        "no layers",
    ),
    "not an object": ({"change_details": lambda details: [1]}, "damaged"),
    "report": ({"change_details": lambda details: details.update(report={})}, "damaged"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_lies_is_refused_without_much_memory(data, lie):
    changes, complaint = LIES[lie]
    broken = altered(data, **changes)
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError, match=complaint):
            storage.from_bytes(broken)
        assert tracemalloc.get_traced_memory()[1] < 3_000_000
    finally:
        tracemalloc.stop()


def test_codes_of_no_bits_cannot_ask_for_any_memory():
    data = storage.to_bytes(classifier(matrices()["codebook of 1"]))
    with pytest.raises(DamagedError, match="absurdly large"):
        storage.from_bytes(altered(data, **set_layer(short={"shape": [2**31, 18]})))


def test_gaps_beyond_the_matrix_are_refused(data):
    def change(arrays):
        arrays["0.gaps"] = np.full(500, 200, np.uint8)

    def unpacked(details):
        details["layers"][0].get("packed", {}).pop("gaps", None)

    broken = altered(data, change_details=unpacked, change_arrays=change)
    with pytest.raises(DamagedError, match="outside"):
        storage.from_bytes(broken)


def test_a_bomb_is_not_inflated():
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = bomb.compress(bytes(10_000_000)) + bomb.flush()
    tracemalloc.start()
    with pytest.raises(DamagedError):
        inflate(packed, 1000)
    assert tracemalloc.get_traced_memory()[1] < 200_000
    tracemalloc.stop()


@given(st.data())
def test_random_changes_end_in_an_estimator_or_in_the_one_error(draw):
    """Change the JSON details anywhere, with the checksum right: no other error, no crash."""
    data = storage.to_bytes(classifier(matrices()["sum of three"]))

    def change(details):
        text = bytearray(json.dumps(details).encode())
        for _ in range(draw.draw(st.integers(1, 3))):
            place = draw.draw(st.integers(0, len(text) - 1))
            text[place] = draw.draw(st.sampled_from(list(b'0123456789[]{},":-e. abt')))
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return None

    try:
        broken = altered(data, change_details=change)
    except Exception:
        return
    try:
        found = storage.from_bytes(broken)
    except DamagedError:
        return
    assert isinstance(found, BCDClassifier)


@given(st.data())
def test_random_streams_end_in_an_estimator_or_in_the_one_error(draw):
    name = draw.draw(st.sampled_from(["sparse", "codebook of 5", "codebook train", "train"]))
    data = storage.to_bytes(classifier(matrices()[name]))

    def change(arrays):
        key = draw.draw(st.sampled_from(sorted(arrays)))
        raw_bytes = draw.draw(st.binary(max_size=64))
        arrays[key] = np.frombuffer(raw_bytes, np.uint8)

    arrays, metadata = unpack(data)
    change(arrays)
    try:
        found = storage.from_bytes(pack(arrays, metadata))
    except DamagedError:
        return
    assert found.predict(rows()).shape == (64,)


# Writing


class FullDisk(io.FileIO):
    def write(self, data):
        super().write(bytes(data)[:10])
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, data):
    path = tmp_path / "net.safetensors"
    path.write_bytes(data)
    real = builtins.open

    def failing(file, mode="r", *args, **kwargs):
        return FullDisk(file, mode) if "x" in mode else real(file, mode, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", failing)
    with pytest.raises(OSError, match="No space left on device") as caught:
        classifier().save(path)
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_bytes() == data
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_an_interruption_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        classifier().save(tmp_path / "net.safetensors")
    assert os.listdir(tmp_path) == []


def test_a_path_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent/net"):
        classifier().save(tmp_path / "absent" / "net")
    with pytest.raises(IsADirectoryError, match=tmp_path.name):
        classifier().save(tmp_path)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="nobody forbids anything to root"
)
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="net"):
        classifier().save(tmp_path / "net")
    tmp_path.chmod(0o700)


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")
def test_the_mode_of_an_old_file_and_a_link_to_it_survive(tmp_path):
    path, link = tmp_path / "net", tmp_path / "link"
    classifier().save(path)
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
    path.chmod(0o640)
    link.symlink_to(path)
    regressor().save(link)
    assert link.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert load(path).predict(rows()).dtype == np.float32


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("metadata", [{}, {"__metadata__": {"format": "pt"}}])
def test_a_file_of_another_program_is_called_one(dtype, metadata, tmp_path):
    size = 12 * (4 if dtype == "F32" else 2)
    entries = {"0.weight": {"dtype": dtype, "shape": [3, 4], "data_offsets": [0, size]}}
    header = json.dumps(metadata | entries).encode()
    path = tmp_path / "other.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    with pytest.raises(ValueError, match=r"other\.safetensors.*not written by fastbcd") as caught:
        load(path)
    assert "changed after it was written" not in str(caught.value)
    assert ("torch.nn.Sequential" if dtype == "F32" else "'BF16'") in str(caught.value)
