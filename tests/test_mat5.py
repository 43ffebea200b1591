from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damage import cut, damaged_copies, refused, replaced
from scipy.io import savemat

from tractprobe.corpora.formats.mat5 import MAX_INFLATED_BYTES, StructArray, read_mat5
from tractprobe.system.errors import CorpusError

VALUES: dict[str, Any] = {
    "double": np.arange(6.0).reshape(2, 3),
    "single": np.linspace(-1, 1, 5, dtype=np.float32)[:, None],
    "three dimensions": np.arange(24).reshape(2, 3, 4),
    **{kind: np.array([[0, 1, 100]], kind) for kind in ("int8", "uint8", "int16", "uint16", "int32", "uint32")},
    **{kind: np.array([[0, 1, 100]], kind) for kind in ("int64", "uint64")},
    "whole doubles": np.array([[1.0, 250.0]]),
    "nan": np.array([[np.nan, np.inf, -np.inf]]),
    "nothing": np.zeros((0, 3)),
}


def same(one: Any, other: Any) -> None:
    assert one.dtype.kind == other.dtype.kind and one.shape == other.shape
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", VALUES)
def test_numbers_round_trip(tmp_path: Path, kind: str, compressed: bool):
    savemat(tmp_path / "a.mat", {"first": np.ones((2, 2)), "x": VALUES[kind]}, do_compression=compressed)
    value = read_mat5(tmp_path / "a.mat", "x")
    same(value, VALUES[kind])


@pytest.mark.parametrize("compressed", [False, True])
def test_text_cells_and_structs_round_trip(tmp_path: Path, compressed: bool):
    cells = np.empty((1, 2), object)
    cells[0, 0], cells[0, 1] = "perché", np.eye(2)
    array = np.empty((1, 2), dtype=[("NAME", object), ("VALUE", object)])
    array[0, 0], array[0, 1] = ("a", np.arange(3.0)[None]), ("bb", cells)
    savemat(tmp_path / "a.mat", {"s": array}, do_compression=compressed)
    value = read_mat5(tmp_path / "a.mat", "s")
    assert isinstance(value, StructArray) and value.shape == (1, 2)
    first, second = value.elements
    assert (first["NAME"], second["NAME"]) == ("a", "bb")
    same(first["VALUE"], np.arange(3.0)[None])
    inner = second["VALUE"]
    assert isinstance(inner, list) and inner[0] == "perché"
    same(inner[1], np.eye(2))


def test_big_endian_files_are_read(tmp_path: Path):
    """Written by hand: header, then one array 2 x 1 of doubles named x."""
    import struct

    def element(kind: int, data: bytes) -> bytes:
        return struct.pack(">II", kind, len(data)) + data + b"\0" * (-len(data) % 8)

    body = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 2, 1)) + element(1, b"x")
    body += element(9, struct.pack(">dd", 1.5, -2.0))
    header = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack(">H", 0x0100) + b"MI"
    (tmp_path / "a.mat").write_bytes(header + element(14, body))
    same(read_mat5(tmp_path / "a.mat", "x"), np.array([[1.5], [-2.0]]))


def test_a_bomb_is_not_inflated(tmp_path: Path):
    zeros = np.zeros((1, MAX_INFLATED_BYTES // 8 + 100))
    savemat(tmp_path / "a.mat", {"x": zeros}, do_compression=True)
    assert (tmp_path / "a.mat").stat().st_size < 1_000_000
    with pytest.raises(CorpusError, match="inflates to more"):
        read_mat5(tmp_path / "a.mat", "x")


def test_another_generation_of_files_is_named(tmp_path: Path):
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(512))
    with pytest.raises(CorpusError, match="save it as -v7"):
        read_mat5(tmp_path / "a.mat", "x")
    savemat(tmp_path / "b.mat", {"x": np.ones(3)}, format="4")
    with pytest.raises(CorpusError, match="header of a MAT v5 file"):
        read_mat5(tmp_path / "b.mat", "x")


@pytest.mark.parametrize("compressed", [False, True])
def test_changed_bytes_are_an_error_or_other_numbers_and_never_a_crash(tmp_path: Path, compressed: bool):
    """scipy.io.loadmat crashes the interpreter on some of these."""
    inner = np.empty((1, 3), dtype=[("LABEL", object), ("OFFS", object)])
    inner[0] = [("sp", np.zeros((1, 2))), ("DH", np.ones((1, 2))), ("AH0", np.ones((1, 2)))]
    savemat(tmp_path / "a.mat", {"s": inner, "n": np.arange(200.0)}, do_compression=compressed)
    path, refused_names = tmp_path / "a.mat", 0
    for broken in damaged_copies(path.read_bytes(), 1900, ways=[*4 * [replaced], cut]):
        path.write_bytes(broken)
        refused_names += sum(refused(lambda name=name: read_mat5(path, name), str(path)) for name in ("s", "n"))
    assert refused_names > 200
