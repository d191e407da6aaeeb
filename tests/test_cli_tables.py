"""Tables of the command line: what each rule reads, leaves out, refuses and says."""

from __future__ import annotations

import builtins
import io
import sys

import numpy as np
import pytest

from fastbcd.cli.cells import CellError, labels, numbers
from fastbcd.cli.csv_text import read_lines
from fastbcd.cli.headers import AmbiguousHeaderError, has_header
from fastbcd.cli.tables import Rules, read_table


@pytest.fixture
def read(tmp_path):
    """Write a text and read it as a table."""

    def read(text, target=None, wanted=None, regression=False, classes=None, **rules):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        found = Rules(**rules)
        return read_table(
            str(path), target, np.float32, found, wanted=wanted, regression=regression,
            classes=classes,
        )  # fmt: skip

    return read


# Cells


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1", "-2.5", "+3.", ".5", "1e3", "-1E-2"], [1, -2.5, 3, 0.5, 1000, -0.01]),
        (["True", "false", "TRUE"], [1, 0, 1]),
        (["007", "10"], [7, 10]),
        (["1e-400"], [0]),
    ],
)
def test_numbers(cells, values):
    np.testing.assert_array_equal(numbers(cells).values, values)


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("1_000", "separators of thousands"),
        ("1,5", "decimal point"),
        ("١", "not a number"),
        ("0x10", "not a number"),
        ("1e", "not a number"),
        ("-", "not a number"),
        ("1 2", "not a number"),
        ("inf", "not a number"),
        ("1e999", "too large"),
        ("", "the cell is empty"),
        ("NA", "'NA' means a missing value"),
        ("nan", "'nan' means a missing value"),
        ("?", "missing value"),
        ("True", "not a number"),
        ("x" * 10_000, r"x\.\.\. \(10000 characters\)' is not a number"),
    ],
)
def test_cells_that_are_no_numbers(cell, complaint):
    with pytest.raises(CellError, match=complaint) as caught:
        numbers(["1", "2", cell])
    assert caught.value.place == 2
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["1", "-2", "0"], [1, -2, 0]),
        (["0.0", "1.0"], [0.0, 1.0]),
        (["007", "070", "700"], ["007", "070", "700"]),
        (["1_1", "1_2", "11"], ["1_1", "1_2", "11"]),
        (["-0", "1"], ["-0", "1"]),
        (["1", "two"], ["1", "two"]),
        (["True", "False"], ["True", "False"]),
        (["1e3", "2"], ["1e3", "2"]),
        (["9" * 25, "1"], ["9" * 25, "1"]),
        (["1.5", "b"], ["1.5", "b"]),
    ],
)
def test_labels_print_as_they_are_written(cells, found):
    assert labels(cells).tolist() == found
    assert [str(label) for label in labels(cells).tolist()] == cells


@pytest.mark.parametrize(
    ("cells", "complaint"),
    [
        (["a", ""], "the cell is empty"),
        (["a", "NaN"], "missing value"),
        (["1", "2", "nan"], "missing value"),
        (["1", "2.5"], "2.5 is a number with a fraction. Add --regression"),
        (["1", "1.0"], "'1' and '1.0' are the same number"),
        (["7", "007", "x"], "'7' and '007' are the same number"),
    ],
)
def test_labels_that_are_refused(cells, complaint):
    with pytest.raises(CellError, match=complaint) as caught:
        labels(cells)
    assert caught.value.place == len(cells) - 1 - (cells[-1] == "x")


# Headers


NAMED = [["5.1", "3.5", "u"], ["4.9", "3.0", "v"], ["4.7", "3.2", "u"], ["4.6", "3.1", "v"]]
WHOLE = [["5", "3", "0"], ["0", "9", "1"], ["2", "1", "0"], ["7", "2019", "1"]]


@pytest.mark.parametrize(
    ("first", "rows", "header"),
    [
        (["a", "b", "kind"], NAMED, True),
        (["0", "1", "kind"], NAMED, True),
        (["0", "1", "2"], NAMED, True),
        (["2019", "2020", "kind"], NAMED, True),
        (["5.0", "3.3", "u"], NAMED, False),
        (["0", "1", "target"], WHOLE, True),
        (["4", "2", "1"], WHOLE, False),
        (["", "0", "1"], NAMED[:1], True),
        (["0", "1", "2", "3", "4"], [["5", "4", "9", "1", "3"]], True),
        (["?", "b", "c"], WHOLE, True),
    ],
)
def test_first_lines(first, rows, header):
    assert has_header("t", [first, *rows])[0] == header


@pytest.mark.parametrize(
    ("first", "rows"),
    [
        (["0", "1", "2"], WHOLE),
        (["0", "1"], [["1", "1"], ["1", "0"]]),
        (["2019", "2020", "u"], NAMED),
        (["5.0", "3.3", "kind"], NAMED),
        (["red", "small"], [["blue", "big"], ["red", "big"], ["blue", "small"]]),
        (["True", "False"], [["True", "False"], ["False", "True"]]),
    ],
)
def test_first_lines_with_two_readings_are_refused(first, rows):
    with pytest.raises(AmbiguousHeaderError, match="Add --header or --no-header"):
        has_header("t", [first, *rows])


def test_names_that_are_known_make_a_header():
    rows = [["0", "1", "2"], *WHOLE]
    assert has_header("t", rows, expected=["0", "1"])[0]
    years = [["2019", "2020"], ["1", "2"], ["3", "4"]]
    assert has_header("t", years, target="2020")[0]
    assert has_header("t", [["a", "7"], ["b", "8"]], target="a")[0]


def test_a_header_can_be_asked_for_and_denied(read):
    text = "0,1,2\n5,3,0\n0,9,1\n"
    assert len(read(text, header=True).x) == 2
    assert len(read(text, header=False).x) == 3
    with pytest.raises(ValueError, match="may be a header"):
        read(text)


def test_a_header_of_numbers_is_noted(read):
    table = read("0,1,target\n0.5,1.5,3\n2.5,1.0,4\n", "-1")
    assert table.names == ["0", "1"]
    assert "read as a header" in table.notes[0]
    assert table.y.tolist() == [3, 4]


# Columns


@pytest.mark.parametrize("target", ["label", None, "a"])
def test_a_name_that_occurs_twice_is_refused(read, target):
    with pytest.raises(
        ValueError, match=r"2 columns of the name 'a': columns 0 and 2|columns 0, 2"
    ):
        read("a,b,a,label\n1,2,3,4\n5,6,7,8\n", target)


def test_of_two_columns_of_one_name_one_can_be_dropped(read):
    table = read("a,b,a,label\n1,2,3,4\n5,6,7,8\n", "label", drop=("2",))
    assert table.names == ["a", "b"]
    np.testing.assert_array_equal(table.x, [[1, 2], [5, 6]])


def test_two_columns_of_a_name_that_a_model_needs_are_refused(read):
    with pytest.raises(ValueError, match="2 columns of the name 'a'"):
        read("a,b,a\n1,2,3\n", wanted=["a", "b"])


@pytest.mark.parametrize("cells", [["0", "1", "2"], ["7", "3", "5"], ["x", "y", "z"]])
@pytest.mark.parametrize("name", ["", "Unnamed: 0"])
def test_names_of_rows_are_left_out_and_it_is_said(read, cells, name):
    rows = "".join(f"{cell},{k % 2}.5,4\n" for k, cell in enumerate(cells))
    table = read(f"{name},a,b\n{rows}")
    assert table.names == ["a", "b"]
    assert "left out as names of rows" in table.notes[0]


def test_columns_without_a_name_are_refused(read):
    with pytest.raises(ValueError, match=r"column 1 has no name.*--drop 1"):
        read("a,,c\n1,2,3\n4,5,6\n")
    with pytest.raises(ValueError, match="column 0 has no name"):
        read(",a\n1,2\n1,3\n")


def test_a_named_column_that_counts_rows_is_noted(read):
    text = "id,a\n" + "".join(f"{row},{row % 3}\n" for row in range(12))
    table = read(text)
    assert table.names == ["id", "a"]
    assert "--drop id" in table.notes[0]
    assert read(text, drop=("id",)).names == ["a"]


def test_numbers_that_lose_digits_are_noted_and_too_large_ones_refused(read):
    assert "rounded in float32" in read("a,b\n16777217,1\n3,4\n").notes[0]
    assert not read("a,b\n16777216,0.1\n3,4\n").notes
    with pytest.raises(ValueError, match=r"line 2, column b: 1e\+39 is too large.*--double"):
        read("a,b\n1,1e39\n")


def test_leading_zeros_are_noted(read):
    assert "'007' is read as the number 7" in read("a,b\n007,1\n3,4\n").notes[0]
    assert not read("a,b\n0.5,0\n3,4\n").notes


def test_types_of_columns(read):
    text = "a,b\n1,007\n2,1.5\n"
    assert read(text, "b", types={"b": "text"}).y.tolist() == ["007", "1.5"]
    assert read("a,b\n1,007\n2,8\n", "b", types={"b": "number"}).y.tolist() == [7, 8]
    with pytest.raises(ValueError, match="--one-hot b"):
        read(text, types={"b": "text"})
    with pytest.raises(ValueError, match=r"no column 'c' \(--dtype\)"):
        read(text, types={"c": "text"})


def test_missing_values_are_what_the_rules_say(read):
    text = "a,b\n1,NA\n2,x\n"
    with pytest.raises(ValueError, match="line 2, column b: 'NA' means a missing value"):
        read(text, "b")
    assert read(text, "b", missing=("", "-")).y.tolist() == ["NA", "x"]
    with pytest.raises(ValueError, match="line 3, column b: 'x' means"):
        read("a,b\n1,y\n2,x\n", "b", missing=("x",))


def test_targets_of_a_regression(read):
    assert read("a,b\n1,007\n2,1.5\n", "b", regression=True).y.tolist() == [7, 1.5]
    with pytest.raises(ValueError, match="line 3, column b: the cell is empty"):
        read("a,b\n1,2\n2,\n", "b", regression=True)


def test_many_whole_numbers_may_be_quantities(read):
    rows = "".join(f"0.5,{k * k}\n" for k in range(40))
    assert "add --regression" in read(f"a,b\n{rows}", "b").notes[0]


def test_labels_are_compared_with_those_of_a_model(read):
    text = "a,b\n1,0\n2,1.0\n3,7\n"
    table = read(text, "b", classes=np.array([0.0, 1.0]))
    assert table.y.tolist() == [0, 1, 7]
    assert "1 rows with a label that the model does not know" in table.notes[0]
    assert read("a,b\n1,True\n", "b", classes=np.array([False, True])).y.tolist() == [True]


def test_spaces_around_labels_are_removed_and_it_is_said(read):
    table = read("a, b\n1, u\n2,v\n", "b")
    assert table.y.tolist() == ["u", "v"]
    assert "spaces around labels" in table.notes[0]


# One-hot


def test_one_hot_columns(read):
    text = "a,color,k\n1,red,u\n2,blue,v\n3,red,u\n"
    with pytest.raises(ValueError, match="line 2, column color: 'red' is not a number"):
        read(text, "k")
    for choice in ("color", "auto"):
        table = read(text, "k", one_hot=(choice,))
        assert table.names == ["a", "color=blue", "color=red"]
        np.testing.assert_array_equal(table.x, [[1, 0, 1], [2, 1, 0], [3, 0, 1]])
    again = read("color,a\nblue,5\n", wanted=table.names)
    np.testing.assert_array_equal(again.x, [[5, 1, 0]])
    already = read("color=red,a,color=blue\n1,5,0\n", wanted=table.names)
    np.testing.assert_array_equal(already.x, [[5, 0, 1]])
    with pytest.raises(ValueError, match="line 2, column color: 'green' was not in the table"):
        read("color,a\ngreen,5\n", wanted=table.names)
    with pytest.raises(ValueError, match="no column color=blue, color=red"):
        read("colour,a\nred,5\n", wanted=table.names)


def test_one_hot_is_that_of_pandas(read):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2, 3], "c": ["x", "z", "y"], "d": ["u", "u", "v"]})
    table = read(frame.to_csv(index=False), one_hot=("auto",))
    expected = pandas.get_dummies(frame, prefix_sep="=")
    assert table.names == list(expected.columns)
    np.testing.assert_array_equal(table.x, expected.to_numpy(np.float32))


@pytest.mark.parametrize(
    ("text", "choice", "complaint"),
    [
        ("1,x\n2,y\n3,x\n4,y\n", "1", "needs a header"),
        ("a,b=c\n1,x\n", "b=c", "rename it without '='"),
        ("a,b\n1,x\n2,\n", "b", "line 3, column b: the cell is empty"),
        ("a,b\n1,x\n", "c", "no column 'c' .--one-hot."),
        ("a,b\n" + "".join(f"1,x{k}\n" for k in range(60)), "auto", "60 different texts"),
    ],
)
def test_one_hot_that_cannot_be(read, text, choice, complaint):
    header = False if choice == "1" else None
    with pytest.raises(ValueError, match=complaint):
        read(text, one_hot=(choice,), header=header)


# Text


def test_encodings(read):
    text = "größe,b\n1,ä\n2,ü\n"
    for encoding in ("utf-8-sig", "utf-8"):
        assert read(text.encode(encoding), "b").y.tolist() == ["ä", "ü"]
    for encoding in ("latin-1", "utf-16"):
        with pytest.raises(ValueError, match=f"is not text in UTF-8.*{encoding}"):
            read(text.encode(encoding), "b")
        assert read(text.encode(encoding), "b", encoding=encoding).names == ["größe"]
    with pytest.raises(ValueError, match="--encoding klingon is unknown"):
        read(text, "b", encoding="klingon")


def test_huge_cells_are_read(read):
    text = "a,note,y\n1," + "x" * 200_000 + ",0\n2,x,1\n"
    with pytest.raises(ValueError, match=r"line 2, column note: 'x.*200000 characters"):
        read(text, "y")
    assert read(text, "y", drop=("note",)).names == ["a"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a,b\n", "no rows"),
        ("1,2\n3\n", "line 2: 1 cells, 2 before"),
        ("a,b\n1,2\n3,x\n", "line 3, column b: 'x' is not a number. Is it the target"),
        ("1,2\n3,\n", "line 2, column 1: the cell is empty"),
        ('a,b\n1,"2\n3,4\n', "Check the quotes"),
        ('a,b\n"1\n1",2\n3,4,5\n', "line 4: 3 cells, 2 before"),
        ("y\n1\n2\n", None),
    ],
)
def test_texts_that_are_no_tables_say_where(read, text, complaint):
    if complaint is None:
        with pytest.raises(ValueError, match="no column besides the target"):
            read(text, "y")
        return
    with pytest.raises(ValueError, match=complaint):
        read(text)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_headers_and_quotes(read, delimiter):
    lines = [["a", '"b c"', "kind"], ["1", "2.5", "u"], ["-3e1", " 4 ", "v"]]
    text = "\ufeff" + "\r\n".join(delimiter.join(line) for line in lines) + "\r\n\r\n"
    for target in ("kind", "2", "-1"):
        table = read(text, target)
        assert table.names == ["a", "b c"]
        np.testing.assert_array_equal(table.x, [[1, 2.5], [-30, 4]])
        assert table.y.tolist() == ["u", "v"]
    for target in ("color", "3", "-4"):
        with pytest.raises(ValueError, match="column"):
            read(text, target)


def test_a_delimiter_within_quotes_does_not_count():
    assert read_lines("t", '"a;b;c",d\n"1;2;3",4\n', None).rows[0] == ["a;b;c", "d"]
    assert read_lines("t", "1,5;2,5\n3,25;4\n", ";").rows[1] == ["3,25", "4"]


def test_the_standard_input(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(b"a,b\n1,u\n2,v\n"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert read_table("-", "b").y.tolist() == ["u", "v"]


# Arrays and Parquet


def test_arrays_that_do_not_fit(tmp_path):
    path = tmp_path / "t.npz"
    for arrays, target, complaint in (
        ({"A": np.zeros((2, 2))}, None, "no array 'X'; it has A"),
        ({"X": np.zeros((2, 2)), "y": np.zeros(3)}, "y", "X has 2 rows, y has 3"),
        ({"X": np.zeros(2)}, None, "rows of numbers"),
        ({"X": np.zeros((0, 2))}, None, "no rows"),
        ({"X": np.array([[object()]])}, None, "cannot be read"),
        ({"X": np.array([[1, np.nan]])}, None, r"X\[0, 1\] is nan"),
        ({"X": np.array([[1, 1e39]])}, None, "float32; add --double"),
        ({"X": np.zeros((2, 2)), "y": np.array([1, np.nan])}, "y", "y is nan in row 1"),
    ):
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=complaint):
            read_table(str(path), target)
    for data in (b"no archive", b""):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="cannot be read"):
            read_table(str(path), None)
    np.save(tmp_path / "t.npy", np.zeros((2, 2)))
    with pytest.raises(ValueError, match="features alone"):
        read_table(str(tmp_path / "t.npy"), "y")


def test_parquet_is_read_like_csv(tmp_path):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"a": [1.5, 2.5, 0.1], "b": [True, False, True], "c": ["u", "v", "u"], "y": [0, 1, 1]}
    )
    frame.write_parquet(tmp_path / "t.parquet")
    frame.write_csv(tmp_path / "t.csv")
    rules = Rules(one_hot=("c",))
    first, second = (
        read_table(str(tmp_path / f"t.{e}"), "y", rules=rules) for e in ("parquet", "csv")
    )
    np.testing.assert_array_equal(first.x, second.x)
    assert first.names == second.names == ["a", "b", "c=u", "c=v"]
    assert first.y.tolist() == second.y.tolist() == [0, 1, 1]
    frame.with_columns(a=polars.Series([1.0, None, 2.0])).write_parquet(tmp_path / "n.parquet")
    with pytest.raises(ValueError, match="row 1, column a: the cell is empty"):
        read_table(str(tmp_path / "n.parquet"), "y", rules=rules)
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="no Parquet file"):
        read_table(str(tmp_path / "x.parquet"), None)


def test_parquet_without_its_extra_names_it(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **keywords):
        if name == "polars":
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"fastbcd\[cli\]"):
        read_table(str(tmp_path / "t.parquet"), None)
