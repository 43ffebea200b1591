import json

import pytest

from tractprobe.encoders.raised import PRETRAINING, Raised
from tractprobe.system.errors import EncoderError

WRITTEN = {
    "schema": 1,
    "objective": "hubert",
    "languages": {"it": 1.5, "zxx": 0.5},
    "corpora": {"virtual": "ab12"},
    "hours_of_data": 2.0,
    "hours_heard": 10,
    "updates": 100,
    "iteration": 1,
    "targets": {"features": "mfcc", "clusters": 100},
    "seed": 0,
    "parameters": 5_000_000,
    "licences": ["CC0-1.0"],
    "augmentation": {"speed": [0.9, 1.1]},
    "rates": {"x_real_time": 40.5},
}


def test_what_is_written_is_read(tmp_path):
    raised = Raised.of(WRITTEN)
    raised.write(tmp_path)
    assert Raised.read(tmp_path) == raised
    assert json.loads((tmp_path / PRETRAINING).read_text()) == WRITTEN
    assert raised.is_trained and raised.languages["zxx"] == 0.5


def test_an_encoder_of_others_says_nothing(tmp_path):
    assert Raised.read(tmp_path) is None
    assert Raised.read(tmp_path / "missing") is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema 2"),
        ({"schema": True}, "schema True"),
        ({"more": 1}, "more is no part of it"),
        ({"objective": 3}, "objective=3; expected a text"),
        ({"languages": ["it"]}, "languages"),
        ({"languages": {"it": "2"}}, "languages.it='2'; expected a number"),
        ({"languages": {"it": -1}}, "languages.it=-1"),
        ({"languages": {"it": 5}}, "not the sum"),
        ({"corpora": {"virtual": 1}}, "corpora.virtual=1"),
        ({"updates": True}, "updates=True"),
        ({"updates": 1.5}, "updates=1.5"),
        ({"updates": 0}, "contradicts"),
        ({"iteration": 3}, "expected 1 or 2"),
        ({"licences": "CC0"}, "expected a list of texts"),
        ({"rates": {"a": [[[[[1]]]]]}}, "nested too deeply"),
    ],
)
def test_anything_else_is_refused_in_one_line(tmp_path, changes, message):
    (tmp_path / PRETRAINING).write_text(json.dumps(WRITTEN | changes))
    with pytest.raises(EncoderError, match=message) as caught:
        Raised.read(tmp_path)
    assert PRETRAINING in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / PRETRAINING).write_text(json.dumps({key: WRITTEN[key] for key in WRITTEN if key != "seed"}))
    with pytest.raises(EncoderError, match="seed is missing"):
        Raised.read(tmp_path)


def test_infinite_numbers_and_broken_json_are_refused(tmp_path):
    for text in (json.dumps(WRITTEN | {"hours_heard": float("inf")}), '{"schema": 1', "[]"):
        (tmp_path / PRETRAINING).write_text(text)
        with pytest.raises(EncoderError, match=PRETRAINING):
            Raised.read(tmp_path)
