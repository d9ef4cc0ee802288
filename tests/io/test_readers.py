"""Readers: what a file says is what is read, line numbers are the file's, and damage is refused by name."""

import gzip
import io
import struct

import numpy as np
import pytest

from portnn import DataError, NeuralNetwork, PortnnError
from portnn.io.readers import read_array, read_csv, read_idx, read_table


def table(tmp_path, text, name="t.csv", **options):
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return read_csv(path, **options)


def test_numbers_by_numpys_reader_and_by_ours_are_the_same(tmp_path):
    """A text in another column sends the whole file the other way."""
    cells = ["1", "-2.5e-3", '"7"', " 8 ", "1e400", "0.1", "+3", "nan"]
    fast = table(tmp_path, "a,b\n" + "\n".join(f"{c},1" for c in cells))
    slow = table(tmp_path, "a,b\n" + "\n".join(f"{c},x" for c in cells))
    np.testing.assert_array_equal(fast.columns["a"], slow.columns["a"])
    assert fast.columns["a"].dtype == slow.columns["a"].dtype == np.float64
    assert list(slow.columns["b"]) == ["x"] * 8


def test_gzipped(tmp_path):
    read = table(tmp_path, "a;b\n1;u\n2;v\n", "t.csv.gz")
    assert list(read.columns) == ["a", "b"]
    assert list(read_table(tmp_path / "t.csv.gz").columns["b"]) == ["u", "v"]
    (tmp_path / "bad.csv.gz").write_bytes(gzip.compress(b"a,b\n1,2\n" * 1000)[:40])
    with pytest.raises(DataError, match="expected a CSV file"):
        read_csv(tmp_path / "bad.csv.gz")


def test_classes_that_are_named_by_digits(tmp_path):
    """001 and 1 are two names; numbers without a zero before them stay numbers; features are numbers in any case."""
    read = table(tmp_path, "x,kind\n1,001\n2,010\n3,001\n4,010\n5,001\n6,010\n")
    assert read.labels("kind").tolist() == ["001", "010"] * 3
    assert read.columns["kind"].dtype == np.float64
    read = table(tmp_path, "x,kind\n" + "1,1\n2,10\n" * 3)
    assert read.labels("kind").tolist() == [1.0, 10.0] * 3
    read = table(tmp_path, "x,kind\n" + "1,1_0\n2,1_1\n" * 3)
    assert read.labels("kind").tolist() == ["1_0", "1_1"] * 3
    read = table(tmp_path, "x,y\n" + "".join(f"{i},{i}.25\n" for i in range(30)))
    assert read.labels("y").tolist() == [i + 0.25 for i in range(30)]


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n\n\n3,{}\n5,6\n", "a,b\n\n1,2\n\n3,{}\n5,6\n", '"a\n",b\n1,2\n\n3,{}\n5,6\n']
)
def test_lines_are_those_of_the_file(tmp_path, text):
    for cell, found in (
        ("x", "expected a number; got 'x'"),
        ("inf", "expected a finite number; got inf"),
        ("", "missing"),
    ):
        read = table(tmp_path, text.format(cell))
        with pytest.raises(DataError, match=rf"t\.csv, line 5, column 'b': .*{found}"):
            read.numbers(list(read.columns))
    with pytest.raises(DataError, match="line 5: expected 2 cells; got 3"):
        table(tmp_path, text.format("4,5"))


def test_an_idx_file_of_impossible_size(tmp_path):
    (tmp_path / "t.idx").write_bytes(b"\0\0\x08\x04" + struct.pack(">4I", *[65536] * 4) + b"abc")
    with pytest.raises(DataError, match=r"expected \(65536, 65536, 65536, 65536\) values of uint8; got a truncated"):
        read_idx(tmp_path / "t.idx")


def sound_files(tmp_path):
    """Yield (name, content, reader) of each kind of file."""
    rng = np.random.default_rng(0)
    numbers = rng.random((8, 3))
    idx = b"\0\0\x0e\x02" + struct.pack(">2I", 8, 3) + numbers.astype(">f8").tobytes()
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, numbers)
    np.savez_compressed(npz, x=numbers, y=np.arange(8))
    net = NeuralNetwork(3, 4, 2, seed=0)
    net.save(tmp_path / "sound")
    yield "m.safetensors", (tmp_path / "sound").read_bytes(), NeuralNetwork.load
    yield "a.npy", npy.getvalue(), read_array
    yield "a.npz", npz.getvalue(), read_table
    yield "a-ubyte.gz", gzip.compress(idx), read_idx
    yield (
        "a.csv",
        b"a,b,kind\n" + b"".join(b"%.3f,%d,u%d\n" % (x, i, i % 2) for i, x in enumerate(numbers[:, 0])),
        read_table,
    )


def damaged(rng, content):
    """Return the content with bytes changed, cut off, taken out or put in."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 4)):
        place, kind = int(rng.integers(0, len(data) or 1)), rng.integers(0, 4)
        if kind == 0 and data:
            data[place] = int(rng.integers(0, 256))
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + int(rng.integers(1, 20))]
        else:
            data[place:place] = rng.bytes(int(rng.integers(1, 20)))
    return bytes(data)


@pytest.mark.parametrize("kind", range(5), ids=["safetensors", "npy", "npz", "idx.gz", "csv"])
def test_damaged_files(tmp_path, kind):
    """300 of each kind: refused by name, or read."""
    name, content, reader = list(sound_files(tmp_path))[kind]
    rng, refused = np.random.default_rng(kind), []
    path = tmp_path / name
    for _ in range(300):
        path.write_bytes(damaged(rng, content))
        try:
            reader(path)
        except PortnnError as error:
            refused.append(str(error))
    assert all(name in message for message in refused)
    assert len(refused) > 50 or name == "a.csv"


def test_decimal_comma(tmp_path):
    """Where something else separates the cells; texts keep their commas."""
    read = table(tmp_path, "a;b;c\n1,5;7;Paris, France\n-2,25e1;8;x\n")
    np.testing.assert_array_equal(read.columns["a"], [1.5, -22.5])
    np.testing.assert_array_equal(read.columns["b"], [7, 8])
    assert read.columns["c"][0] == "Paris, France"
    np.testing.assert_array_equal(table(tmp_path, "1,5\t,25\n2,5\t3\n").numbers(["0", "1"]), [[1.5, 0.25], [2.5, 3]])
    # Separated by commas, a quoted one is no number: it may mean thousands.
    with pytest.raises(DataError, match="expected a number; got '1,5'"):
        table(tmp_path, 'a,b\n"1,5",2\n').numbers(["a"])


@pytest.mark.parametrize("text", ["a;b\n1,234;1.5\n", "a;b\n1.5;2\n3;1,234\n"])
def test_two_decimal_marks_are_refused(tmp_path, text):
    with pytest.raises(DataError, match=r"line \d: expected one decimal mark; got both 1,234 and 1.5"):
        table(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("a;b\n1.163,74;1.163\n893,31;7\n", [["1,163.74", "893.31"], ["1,163", "7"]]),
        ("a;b\n1,163.74;1.163\n893.31;7\n", [["1,163.74", "893.31"], [1.163, 7]]),
        ("a;b\n1,163.74;1,163\n893.31;7\n", [["1,163.74", "893.31"], ["1,163", "7"]]),
        ("a\tb\n-1.000.163,5;\t1,5\n2,5\t1\n", [["-1.000.163,5;", "2.5"], [1.5, 1]]),
    ],
)
def test_what_says_which_mark_is_which(tmp_path, text, cells):
    """Texts of numbers as 1,163.74, whatever the file's marks are."""
    assert [column.tolist() for column in table(tmp_path, text).columns.values()] == cells


@pytest.mark.parametrize(
    ("text", "line", "both"),
    [
        ("a;b\n1.163,74;1.5\n", 2, "1.163,74 and 1.5"),
        ("a;b\n1,163.74;2\n3;1,5\n", 3, "1,5 and 1,163.74"),
        ("a;b\n1,163.74;2\n3;1.163,74\n", 3, "1.163,74 and 1,163.74"),
    ],
)
def test_numbers_that_say_two_things_are_refused(tmp_path, text, line, both):
    with pytest.raises(DataError, match=rf"line {line}: expected one decimal mark; got both {both}"):
        table(tmp_path, text)
