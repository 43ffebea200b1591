"""Labels that readers keep: what a corpus states, and what a pattern finds in names."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import test_articulograph
import test_ema_mae
import test_frost
import test_hprc
import test_mocha
import test_torgo
import test_usc_timit
import test_wave
from test_articulograph import read_all

from tractprobe.corpora.prepared import prepare as preparation
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.ema_mae import _labels
from tractprobe.corpora.readers.options import check_label_pattern
from tractprobe.corpora.readers.torgo import Torgo
from tractprobe.corpora.utterance import Reader
from tractprobe.data.splits import SplitRule
from tractprobe.system.errors import ConfigError

STATED: dict[str, tuple[Callable[[Path], Reader], set[tuple[tuple[str, str], ...]]]] = {
    "frost": (
        lambda root: test_frost.write(root),
        {
            (("gender", "f"), ("l1", "fi"), ("task", "A")), (("gender", "f"), ("l1", "fi"), ("task", "C")),
            (("gender", "m"), ("l1", "ru"), ("task", "A")), (("gender", "m"), ("l1", "ru"), ("task", "C")),
        },
    ),
    "torgo": (
        lambda root: test_torgo.write(root),
        {(("condition", "control"), ("gender", "m")), (("condition", "dysarthria"), ("gender", "f"))},
    ),
    "hprc": (
        lambda root: test_hprc.write(root),
        {(("gender", gender), ("rate", rate)) for gender in "fm" for rate in ("normal", "fast")},
    ),
    "mocha": (lambda root: test_mocha.write(root), {(("gender", "f"),), (("gender", "m"),)}),
    "usc_timit": (lambda root: test_usc_timit.write(root), {(("gender", "f"),), (("gender", "m"),)}),
    "ema_mae": (
        lambda root: test_ema_mae.write(root), {(("gender", "f"), ("l1", "en")), (("gender", "m"), ("l1", "zh"))}
    ),
}  # fmt: skip


@pytest.mark.parametrize("corpus", STATED)
def test_readers_keep_what_a_corpus_states(corpus: str, tmp_path: Path):
    write, expected = STATED[corpus]
    reader = write(tmp_path)
    utterances = list(read_all(reader).values())
    found = {tuple(sorted(one.labels.items())) for one in utterances}
    assert found and found <= expected and len(found) > 1
    assert set().union(*(one.labels for one in utterances)) == set(reader.kept_labels)


@pytest.mark.parametrize(("speaker", "labels"), [
    ("05_ENGL_F", {"gender": "f", "l1": "en"}), ("26_MANB_M", {"gender": "m", "l1": "zh"}),
    ("07_KOR_F", {"gender": "f", "l1": "kor"}), ("anna", {}),
])  # fmt: skip
def test_first_languages_of_ema_mae(speaker: str, labels: dict[str, str]):
    assert _labels(speaker) == labels


def test_a_pattern_finds_labels_in_names(tmp_path: Path):
    reader = test_articulograph.write(tmp_path / "a", label_pattern=r"(?P<word>[0-9a-z]+)\.pos$")
    assert all(one.labels["word"] for one in read_all(reader).values())
    wave = test_wave.write(tmp_path / "w", label_pattern="no such(?P<style>x)")
    assert all(one.labels == {} for one in read_all(wave).values())
    for bad, problem in {"(": "not a regular expression", "x": "has no group", "(?P<language>x)": "choose another name",
                         "(?P<Style>x)": "expected a name"}.items():  # fmt: skip
        with pytest.raises(ConfigError, match=problem):
            check_label_pattern(bad)


class Earlier(Torgo):
    """The reader as it was before it kept labels."""

    kept_labels = ()

    def read(self, source: str) -> Sequence:
        from dataclasses import replace

        return [replace(utterance, labels={}) for utterance in super().read(source)]


def test_what_was_prepared_without_labels_is_prepared_again_and_says_so_until_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    reader = test_torgo.write(tmp_path / "raw")
    monkeypatch.setattr(preparation, "public_name", lambda kind: "tractprobe.corpora.torgo.Torgo")
    before = prepare(Earlier(tmp_path / "raw"), tmp_path / "data")
    with pytest.raises(ConfigError, match="prepare them again"):
        SplitRule("condition", disjoint_text=False)(before.entries, "control", 0)
    hash_before = before.content_hash
    prepare(reader, tmp_path / "data")
    after = PreparedCorpus(tmp_path / "data/torgo")
    assert after.content_hash != hash_before and {one.labels["condition"] for one in after.entries} == {
        "control",
        "dysarthria",
    }
    split = SplitRule("condition", disjoint_text=False)(after.entries, "control", 0)
    assert all("MC04" in id_ for id_ in split.test) and all("F03" in id_ for id_ in split.development)
    again = prepare(reader, tmp_path / "data")
    assert again.content_hash == after.content_hash
