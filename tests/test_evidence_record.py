"""Records of analyses: what is written is read back, and what is damaged or not ours is one line."""

import json
from dataclasses import replace

import pytest

from tractprobe.evidence.record import (
    Band,
    Column,
    Evidence,
    Figure,
    Finding,
    Level,
    Part,
    Record,
    Series,
    Table,
    numbers_of,
    read_record,
    tables_of,
    write_record,
)
from tractprobe.system.errors import RunError

FINDING = Finding(
    "r_language", "r of positions", 0.5, 0.4, 0.6, "r", "speakers, languages", {"speakers": 4, "languages": 6},
    by=(Part("language", "it", 0.5, 0.4, 0.6, 4), Part("language", "en", None)),
)  # fmt: skip
RECORD = Record(
    analysis="curves",
    version=1,
    identity={"model": "mel", "seed": 0, "corpora": {"virtual": "ab"}, "encoder": {}, "analysis": {}},
    settings={"seed": 0},
    command="python train.py analysis=curves",
    about={},
    material={"utterances": 3},
    timing_s={"analyse": 1.5},
    evidence=Evidence(
        (FINDING, Finding("none", "no phones in this corpus", None, None, None, "r", "", {})),
        (Table("layers", "r of each layer", (Column("layer"), Column("r", "r")), ({"layer": 0, "r": None},)),),
        (Figure("layers", "r", "layer", "r", (Series("it", ([0, 0.5, None, None],)),), "lines", Band("null", -0.1, 0.1),
                (Level("ceiling", 0.8),)),),
        ({"condition": "known", "language": "it", "speaker": "a", "r": 0.5},),
        ("four speakers are few",),
    ),
)  # fmt: skip


def test_what_is_written_is_read_back(tmp_path):
    write_record(tmp_path, RECORD)
    assert read_record(tmp_path) == RECORD
    assert read_record(tmp_path).evidence.finding("r_language") == FINDING
    assert RECORD.evidence.finding("other") is None


def test_a_number_that_json_cannot_hold_is_our_mistake(tmp_path):
    wrong = replace(RECORD, evidence=Evidence((replace(FINDING, value=float("nan")),)))
    with pytest.raises(AssertionError, match=r"evidence\.findings\[0\]\.value"):
        write_record(tmp_path, wrong)
    assert not (tmp_path / "evidence.json").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda plain: plain.update(schema=2), "later version"),
        (lambda plain: plain.pop("command"), "lacks command"),
        (lambda plain: plain.update(more=1), "more is unknown"),
        (lambda plain: plain["identity"].pop("model"), "identity lacks model"),
        (lambda plain: plain["evidence"]["findings"][0].update(value="high"), r"findings\[0\]\.value is str"),
        (lambda plain: plain["evidence"]["findings"][0].update(value=1e999), "is not finite"),
        (lambda plain: plain["evidence"]["figures"][0].update(kind="pie"), r"figures\[0\]\.kind"),
        (lambda plain: plain["evidence"].update(rows={}), "rows is no list"),
        (lambda plain: plain.update(version=True), "version is bool"),
    ],
)
def test_a_record_that_is_not_ours_is_one_line(tmp_path, change, said):
    write_record(tmp_path, RECORD)
    file = tmp_path / "evidence.json"
    plain = json.loads(file.read_text())
    change(plain)
    file.write_text(json.dumps(plain))
    with pytest.raises(RunError, match=said) as caught:
        read_record(tmp_path)
    assert "\n" not in str(caught.value) and str(file) in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "1", "[" * 100_000])
def test_a_file_that_is_no_record_is_one_line(tmp_path, content):
    (tmp_path / "evidence.json").write_text(content)
    with pytest.raises(RunError):
        read_record(tmp_path)


def test_a_folder_without_a_record_says_so(tmp_path):
    with pytest.raises(RunError, match="no analysis, or has not finished"):
        read_record(tmp_path)


def test_dashboards_get_defined_numbers_and_every_row():
    assert numbers_of(RECORD) == {"curves/r_language/value": 0.5, "curves/r_language/low": 0.4,
                                  "curves/r_language/high": 0.6}  # fmt: skip
    tables = tables_of(RECORD)
    assert [len(rows) for rows in tables.values()] == [2, 1]
    assert tables["curves: findings"][0]["n_speakers"] == 4
