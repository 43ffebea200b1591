import builtins
import codecs
import io
import os
import pickle
import struct
import sys
import time
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from damage import damaged_copies, refused, replaced
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tractprobe.corpora.formats import pickles
from tractprobe.corpora.formats.pickles import MAX_STEPS
from tractprobe.corpora.formats.tensors import MAX_FILE_BYTES, MAX_MEMBERS, read_tensors
from tractprobe.system.errors import CorpusError


def write_archive(path: Path, program: bytes, *, compression: int = zipfile.ZIP_STORED, **storages: bytes) -> Path:
    """Write what torch.save does around a pickle."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/byteorder", "little")
        for key, content in storages.items():
            archive.writestr(f"archive/data/{key.lstrip('k')}", content)
    return path


def saved(path: Path, value: Any, **options: Any) -> Any:
    torch.save(value, path, **options)
    return read_tensors(path)


def program_of(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith("data.pkl")]
        return archive.read(name)


ARRAYS = st.sampled_from(
    ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1", ">f4", ">i8"]
).flatmap(lambda code: hnp.arrays(code, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)))


@given(array=ARRAYS, by_column=st.booleans())
def test_arrays_come_back_bit_for_bit(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, by_column: bool):
    array = np.asfortranarray(array) if by_column else array
    back = saved(tmp_path_factory.mktemp("pt") / "a.pt", {"a": array})["a"]
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)


TENSORS = {
    "float32": torch.arange(12, dtype=torch.float32).reshape(3, 4),
    "transposed": torch.arange(12, dtype=torch.float64).reshape(3, 4).T,
    "a slice": torch.arange(40, dtype=torch.int16).reshape(8, 5)[2:6, 1::2],
    "scalar": torch.tensor(7),
    "empty": torch.zeros(0, 18),
    "bool": torch.tensor([True, False]),
    "half": torch.tensor([0.5, -2.0], dtype=torch.float16),
    "requires gradients": torch.ones(2, requires_grad=True),
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_come_back_as_arrays(tmp_path: Path, case: str):
    back = saved(tmp_path / "a.pt", {"a": TENSORS[case]})["a"]
    assert isinstance(back, np.ndarray)
    np.testing.assert_array_equal(back, TENSORS[case].detach().numpy(), strict=True)


PLAIN = {
    "phones": ["sil", "dh", "ə"], "durations": [12, 0, 3], "begin_end": (31, -245),
    "numbers": [1 << 40, -(1 << 62), 0.5],
    "nothing": None, "truth": [True, False], "nested": {"a": [(1, (2,), [{}])]}, "": "", "bytes": b"\x00\xff" * 200,
}  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_plain_values_come_back(tmp_path: Path, protocol: int):
    assert saved(tmp_path / "a.pt", PLAIN, pickle_protocol=protocol) == PLAIN


def test_numpy_scalars_come_back_as_numbers(tmp_path: Path):
    back = saved(tmp_path / "a.pt", {"begin_end": [np.int64(31), np.float32(0.5), np.bool_(True)]})
    assert back == {"begin_end": [31, 0.5, True]}
    assert [type(item) for item in back["begin_end"]] == [int, float, bool]


def test_files_of_numpy_1_are_read(tmp_path: Path):
    torch.save({"a": np.arange(6.0).reshape(2, 3), "b": np.int32(4)}, tmp_path / "new.pt")
    program = program_of(tmp_path / "new.pt")
    assert b"numpy._core.multiarray" in program
    path = write_archive(tmp_path / "old.pt", program.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    back = read_tensors(path)
    np.testing.assert_array_equal(back["a"], np.arange(6.0).reshape(2, 3))
    assert back["b"] == 4


def test_what_is_shared_stays_shared(tmp_path: Path):
    array = np.arange(1000.0)
    back = saved(tmp_path / "a.pt", {"a": array, "b": array})
    assert back["a"] is back["b"]


def text(value: str) -> bytes:
    content = value.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(content)) + content


def named(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def item(value: bytes) -> bytes:
    """Return the program of a dict {"a": <value>}."""
    return b"\x80\x02}" + text("a") + value + b"s."


def call(module: str, name: str, *arguments: bytes) -> bytes:
    return named(module, name) + b"(" + b"".join(arguments) + b"tR"


class Runs:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any):
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


class HasState:
    def __setstate__(self, state: Any) -> None:
        Path(state["marker"]).touch()

    def __getstate__(self) -> Any:
        return {"marker": "ran"}


def dtype_of(code: str) -> bytes:
    state = b"(K\x03" + text("<") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00t"
    return named("numpy", "dtype") + b"(" + text(code) + b"\x89\x88tR" + state + b"b"


def array_of(code: str, shape: bytes, content: bytes) -> bytes:
    begun = call("numpy.core.multiarray", "_reconstruct", named("numpy", "ndarray"), b"K\x00\x85", text("b"))
    return begun + b"(K\x01" + shape + dtype_of(code) + b"\x89" + content + b"tb"


def encoded(content: str) -> bytes:
    return call("_codecs", "encode", text(content), text("latin1"))


def storage(count: int, key: str = "0", kind: str = "FloatStorage") -> bytes:
    return (
        b"("
        + text("storage")
        + named("torch", kind)
        + text(key)
        + text("cpu")
        + b"J"
        + struct.pack("<i", count)
        + b"tQ"
    )


def tensor(stored: bytes, offset: bytes, shape: bytes, strides: bytes) -> bytes:
    hooks = call("collections", "OrderedDict")
    return call("torch._utils", "_rebuild_tensor_v2", stored, offset, shape, strides, b"\x89", hooks)


def pair(*numbers: int) -> bytes:
    return b"(" + b"".join(b"\x8a\x09" + number.to_bytes(9, "little", signed=True) for number in numbers) + b"t"


DANGEROUS = {
    "os.system": pickle.dumps({"a": Runs(os.system, "touch ran")}, 2),
    "os.system, protocol 4": pickle.dumps({"a": Runs(os.system, "touch ran")}, 4),
    "builtins.eval": pickle.dumps({"a": Runs(eval, "open('ran', 'w')")}, 2),
    "builtins.exec": pickle.dumps({"a": Runs(exec, "open('ran', 'w')")}, 2),
    "builtins.getattr": item(call("builtins", "getattr", named("os", "path"), text("join"))),
    "builtins.open": pickle.dumps({"a": Runs(open, "ran", "w")}, 2),
    "a key that runs": pickle.dumps({"k": {Runs(os.mkdir, "ran"): 1}}, 2),
    "nested reduce": item(call("_codecs", "encode", call("builtins", "eval", text("open('ran','w')")), text("latin1"))),
    "state": pickle.dumps({"a": HasState()}, 2),
    "state for a known name": item(named("numpy", "ndarray") + b"}" + text("__class__") + b"Nsb"),
    "state of an array": item(array_of("f8", b"K\x00\x85", encoded("")) + b"}" + text("shape") + b"K\x09sb"),
    "a module to import": item(named("hostile_module", "anything")),
    "a module to import, by stack": item(text("hostile_module") + text("anything") + b"\x93"),
    "a dotted name": item(text("numpy") + text("dtype.__class__.__mro__") + b"\x93"),
    "instance": item(b"(" + text("touch ran") + b"ios\nsystem\n"),
    "object": item(b"(" + named("os", "system") + text("touch ran") + b"o"),
    "new object": item(named("os", "system") + text("touch ran") + b"\x85\x81"),
    "new object by keyword": item(named("os", "system") + text("touch ran") + b"\x85}\x92"),
    "extension": item(b"\x82\x01"),
    "persistent name": item(b"Pos.system\n"),
    "torch loads another": item(call("torch.storage", "_load_from_bytes", encoded("ran"))),
    "torch internals": item(call("torch._utils", "_rebuild_parameter", b"N", b"\x89", b"}")),
    "torch tensor subclass": item(call("torch._tensor", "_rebuild_from_type_v2", b"NNNN")),
    "torch hub": item(call("torch.hub", "load", text("hostile/repository"), text("model"))),
    "numpy loads another": item(call("numpy", "load", text("hostile.npy"), b"N", b"\x88")),
    "numpy, an array of a class of its own": item(
        call("numpy.core.multiarray", "_reconstruct", named("numpy", "matrix"), b"K\x00\x85", text("b"))
    ),
    "an array of objects": item(array_of("O8", b"K\x01\x85", b"]" + call("os", "system", text("touch ran")) + b"a")),
    "a dtype of fields": item(dtype_of("f8,f8")),
    "another codec": item(call("_codecs", "encode", text("ran"), text("hex_codec"))),
    "a codec's name as array": item(call("_codecs", "encode", text("a"), array_of("i1", b"K\x01\x85", encoded("a")))),
    "a known name that is left over": item(named("numpy", "ndarray")),
    "a call of a call": item(call("collections", "OrderedDict") + b")R"),
    "a call with a list": item(named("_codecs", "encode") + b"]R"),
    "a set": pickle.dumps({"a": {1, 2}}, 4),
    "out of band": item(b"\x97"),
    "protocol 5": b"\x80\x05" + item(b"N")[2:],
}


@pytest.mark.parametrize("case", DANGEROUS)
def test_nothing_in_a_hostile_pickle_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str):
    (tmp_path / "hostile_module.py").write_text("open('ran', 'w')\nanything = 1\n")
    path = write_archive(tmp_path / "hostile.pt", DANGEROUS[case])
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    codecs.lookup("cp437")  # zipfile's; its module cannot be imported once exec is replaced
    imported, before = set(sys.modules), set(tmp_path.iterdir())
    monkeypatch.setattr(os, "system", lambda command: (tmp_path / "ran").touch())
    for name in ("eval", "exec"):
        monkeypatch.setattr(builtins, name, lambda *arguments: (tmp_path / "ran").touch())
    with pytest.raises(CorpusError, match=r"hostile\.pt \(data\.pkl"):
        read_tensors(path)
    assert set(tmp_path.iterdir()) == before
    assert not {name for name in set(sys.modules) - imported if "hostile" in name or name.startswith("torch.hub")}


def doubling_tuples(depth: int) -> bytes:
    """Return tuples of which each holds the one before it twice: 2 ** depth leaves in a few bytes."""
    return b")" + b"".join(b"r" + struct.pack("<I", k) + b"j" + struct.pack("<I", k) + b"\x86" for k in range(depth))


def doubling_lists(depth: int) -> bytes:
    """Return lists of which each holds the one before it twice, all but the last as items that are overwritten."""
    program = b"]r" + struct.pack("<I", 0)
    for level in range(depth):
        twice = 2 * (b"j" + struct.pack("<I", level))
        program += b"s" + text("a") + b"](" + twice + b"er" + struct.pack("<I", level + 1)
    return program


STEPS = 5000
LONG = "x" * 100_000
BOMBS = {
    "a number of 2040 bits": item(b"\x8a\xff" + b"\x7f" * 255),
    "a number of 2 GB": item(b"\x8b" + struct.pack("<i", 2**31 - 1)),
    "a number of negative length": item(b"\x8b" + struct.pack("<i", -1)),
    "a number in a million digits": item(b"L" + b"9" * 1_000_000 + b"L\n"),
    "text of 4 GB": item(b"X" + struct.pack("<I", 2**32 - 1)),
    "text of 2 ** 62 bytes": item(b"\x8d" + struct.pack("<Q", 2**62)),
    "bytes of 2 ** 62": item(b"\x8e" + struct.pack("<Q", 2**62)),
    "text copied out again and again": item(
        text(LONG) + b"q\x00" + text("latin1") + b"q\x01" + named("_codecs", "encode") + b"q\x02"
        + b"h\x02h\x00h\x01\x86R" * 1_000
    ),
    "an array of more than there is": item(array_of("f8", pair(1 << 39), encoded("abcdefgh"))),
    "an array of overflowing shape": item(array_of("f8", pair(1 << 39, 1 << 39), encoded(""))),
    "an array of negative shape": item(array_of("f8", pair(-1, -1), encoded("abcdefgh"))),
    "a tensor that repeats one number": item(tensor(storage(2), b"K\x00", pair(1 << 30), pair(0))),
    "a tensor beyond its storage": item(tensor(storage(2), b"K\x01", pair(2), pair(1))),
    "a tensor before its storage": item(tensor(storage(2), b"J\xff\xff\xff\xff", pair(1), pair(1))),
    "a tensor of backward strides": item(tensor(storage(2), b"K\x01", pair(2), pair(-1))),
    "a tensor of strides that do not fit": item(tensor(storage(2), b"K\x00", pair(2), pair(1, 1))),
    "a tensor of a thousand dimensions": item(tensor(storage(2), b"K\x00", pair(*[1] * 1000), pair(*[1] * 1000))),
    "a storage of more than there is": item(tensor(storage(1 << 30), b"K\x00", pair(1), pair(1))),
    "a storage that is not there": item(tensor(storage(2, "1"), b"K\x00", pair(1), pair(1))),
    "a storage outside": item(tensor(storage(2, "../data.pkl"), b"K\x00", pair(1), pair(1))),
    "a storage of no numbers": item(tensor(storage(2, kind="UntypedStorage"), b"K\x00", pair(1), pair(1))),
    "too many steps": b"\x80\x02}" + (text("a") + b"Ns") * (STEPS // 3 + 1) + b".",
    "marks and nothing else": b"\x80\x02" + b"(" * (STEPS - 10) + b".",
    "an empty stack": b"\x80\x02.",
    "an item of nothing": b"\x80\x02a.",
    "a tuple of too few": b"\x80\x02N\x87.",
    "a tuple across a mark": b"\x80\x02N(N\x86.",
    "items without a mark": b"\x80\x02]Ne.",
    "odd items": b"\x80\x02}(" + text("a") + b"N" + text("b") + b"u.",
    "recalls what was never put": b"\x80\x02h\x07.",
    "no end": b"\x80\x02}",
    "cut": item(text("abc"))[:-4],
    "no step": b"\x80\x02\xff.",
    "nothing": b"",
    "no dict": b"\x80\x02].",
    "a number as a key": b"\x80\x02}K\x01Ns.",
    "a tuple as a key": b"\x80\x02}" + doubling_tuples(60) + b"Ns.",
}  # fmt: skip


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_is_an_error_in_little_time_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str):
    assert MAX_STEPS <= 100_000
    monkeypatch.setattr(pickles, "MAX_STEPS", STEPS)
    path = write_archive(tmp_path / "bomb.pt", BOMBS[case], k0=struct.pack("<2f", 1, 2))
    started = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(CorpusError, match=r"bomb\.pt"):
            read_tensors(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MAX_FILE_BYTES + 1_000_000 + 40 * path.stat().st_size
    assert time.process_time() - started < 10


@pytest.mark.parametrize("case", ["lists", "tuples"])
def test_containers_that_double_are_never_walked(tmp_path: Path, case: str):
    program = item(doubling_lists(3000) if case == "lists" else doubling_tuples(3000))
    value = read_tensors(write_archive(tmp_path / "a.pt", program))
    assert len(value["a"]) == 2 and value["a"][0] is value["a"][1]


def test_deep_nesting_needs_no_recursion(tmp_path: Path):
    value: Any = read_tensors(write_archive(tmp_path / "a.pt", item(b"]" * 10_000 + b"a" * 9_999)))["a"]
    depth = 1
    while value:
        (value,), depth = value, depth + 1
    assert depth == 10_000


def test_a_list_that_holds_itself_is_harmless(tmp_path: Path):
    value = read_tensors(write_archive(tmp_path / "a.pt", item(b"]q\x00h\x00a")))["a"]
    assert value[0] is value


def test_large_memo_keys_reserve_nothing(tmp_path: Path):
    path = write_archive(tmp_path / "a.pt", item(text("x") + b"r\xff\xff\xff\xff"))
    tracemalloc.start()
    assert read_tensors(path) == {"a": "x"}
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MAX_FILE_BYTES + 1_000_000


def zip_bytes(*members: tuple[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return stream.getvalue()


def claiming(size: int, both: bool) -> bytes:
    """Return an archive whose directory claims a larger data.pkl than there is."""
    content = bytearray(zip_bytes(("archive/data.pkl", item(b"N"))))
    entry = content.index(b"PK\x01\x02")
    struct.pack_into("<I", content, entry + 24, size)
    if both:
        struct.pack_into("<I", content, entry + 20, size)
    return bytes(content)


ARCHIVES = {
    "empty": b"",
    "text": b"ema_trimmed 1 2 3",
    "legacy torch.save": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
    "a bare pickle": pickle.dumps({"a": 1}),
    "zip's first bytes": b"PK\x03\x04",
    "deflated": zip_bytes(("archive/data.pkl", b"\x00" * 50_000_000), compression=zipfile.ZIP_DEFLATED),
    "claims to inflate": claiming(1 << 31, both=False),
    "claims more than there is": claiming(1 << 31, both=True),
    "no data.pkl": zip_bytes(("archive/version", b"3")),
    "two data.pkl": zip_bytes(("a/data.pkl", item(b"N")), ("b/data.pkl", item(b"N"))),
    "many members": zip_bytes(*((f"a/{index}", b"") for index in range(MAX_MEMBERS + 1))),
    "big-endian": zip_bytes(("a/data.pkl", item(b"N")), ("a/byteorder", b"big")),
    "wrong checksum": zip_bytes(("a/data.pkl", item(b"N"))).replace(item(b"N"), item(b"\x88")),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_a_broken_archive_is_one_error_that_names_it(tmp_path: Path, case: str):
    (tmp_path / "broken.pt").write_bytes(ARCHIVES[case])
    tracemalloc.start()
    with pytest.raises(CorpusError, match=r"broken\.pt"):
        read_tensors(tmp_path / "broken.pt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MAX_FILE_BYTES + 10_000_000


def test_a_legacy_file_of_torch_itself_is_refused(tmp_path: Path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(CorpusError, match="save it again"):
        read_tensors(tmp_path / "old.pt")


def test_damage_anywhere_is_an_error_or_a_plain_value(tmp_path: Path):
    value = {"a": np.arange(8.0), "t": torch.arange(6).reshape(2, 3), "p": ["sil", "a"], "n": np.int64(3), "b": (1, 2)}
    torch.save(value, tmp_path / "a.pt")
    for broken in damaged_copies(program_of(tmp_path / "a.pt"), 500, ways=[replaced]):
        path = write_archive(tmp_path / "b.pt", broken, k0=np.arange(6).tobytes())
        refused(lambda path=path: read_tensors(path), str(path))
