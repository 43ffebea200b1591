"""The corpora of the package: prepared when first used, and never passed off as those of an older package."""

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import write_corpus

from tractprobe.cli import main
from tractprobe.commands.prepare import main as prepare_command
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.data.crossed import CrossedRule
from tractprobe.evidence.tables.rows import namesakes
from tractprobe.jobs import train
from tractprobe.probes.opening import open_corpora
from tractprobe.runs.hydra import BUILTIN, builtin_corpus, builtin_interventions
from tractprobe.system.errors import ConfigError, RunError

NARROW = "model.bands=8"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with corpora of its own: `virtual`, and `virtual_demo`, which is a part of it."""
    folder = tmp_path / "site/tractprobe"
    write_corpus(folder / "builtin/demo", ("en", "it"), speakers=2, sentences=2)
    write_corpus(folder / "builtin/rest", ("de",), speakers=2, sentences=2, seed=77)
    for root in (folder / "builtin", folder / "builtin/demo"):
        (root / "folder.toml").write_text('simulated = true\ngenerator = "vocaltract 0.1.0"\n')
        np.save(root / "s0.palate.npy", np.array([[0.0, 1.0], [5.0, 2.0]]))
    monkeypatch.setattr("tractprobe.probes.opening.builtin_corpus", lambda name: str(folder / BUILTIN[name]))
    return folder


def older(package: Path, data: Path) -> PreparedCorpus:
    """Prepare `virtual` from what an older package has at the same place, and put the present one there again."""
    (package / "builtin").rename(package / "present")
    write_corpus(package / "builtin", ("en", "it"), speakers=2, sentences=3)
    corpus = prepare(Folder("virtual", package / "builtin"), data)
    shutil.rmtree(package / "builtin")
    (package / "present").rename(package / "builtin")
    return corpus


def test_each_is_prepared_when_it_is_first_used(package: Path, tmp_path: Path):
    demo, whole = open_corpora(["virtual_demo", "virtual"], tmp_path / "data")
    assert {entry.language for entry in demo.entries} == {"en", "it"} and len(demo.entries) == 8
    assert {entry.language for entry in whole.entries} == {"de", "en", "it"} and len(whole.entries) == 12
    assert demo.simulated and whole.simulated and list(demo.palates) == list(whole.palates) == ["s0"]
    written = (whole.folder / "corpus.json").stat().st_mtime_ns
    open_corpora(["virtual_demo", "virtual"], tmp_path / "data")
    assert (whole.folder / "corpus.json").stat().st_mtime_ns == written


def test_what_an_older_package_prepared_is_used_as_it_is_and_named(package: Path, tmp_path: Path, caplog):
    before = older(package, tmp_path / "data")
    for _ in range(2):
        (now,) = open_corpora(["virtual"], tmp_path / "data")
    assert now.content_hash == before.content_hash and len(now.entries) == 12
    (said,) = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert f"holds the built-in corpus of an older package (12 utterances, content {before.content_hash[:6]}" in said
    older_data = tmp_path / "data/older"
    assert f"mkdir -p {older_data} && mv {tmp_path}/data/virtual {older_data}/" in said
    older_data.mkdir()
    (tmp_path / "data/virtual").rename(older_data / "virtual")  # as it says
    (present,) = open_corpora(["virtual"], tmp_path / "data")
    assert present.simulated and present.content_hash != before.content_hash
    assert PreparedCorpus(older_data / "virtual").content_hash == before.content_hash


def test_it_is_known_by_what_it_says_of_itself_where_the_count_is_the_same(package: Path, tmp_path: Path, caplog):
    before = open_corpora(["virtual"], tmp_path / "data")[0].content_hash
    (package / "builtin/folder.toml").write_text('simulated = true\ngenerator = "vocaltract 0.2.0"\n')
    assert open_corpora(["virtual"], tmp_path / "data")[0].content_hash == before
    assert "of an older package" in caplog.text


def test_the_older_package_may_have_been_installed_elsewhere(package: Path, tmp_path: Path, caplog):
    elsewhere = write_corpus(tmp_path / "old/lib/tractprobe/builtin", ("fi",), speakers=1, sentences=2)
    before = prepare(Folder("virtual", elsewhere), tmp_path / "data").content_hash
    assert open_corpora(["virtual"], tmp_path / "data")[0].content_hash == before
    assert "of an older package" in caplog.text


def test_the_same_corpus_is_prepared_again_without_a_word_where_its_files_are_younger(package, tmp_path, caplog):
    before = open_corpora(["virtual"], tmp_path / "data")[0].content_hash
    (package / "builtin/demo/s0_en_0.json").touch()
    assert open_corpora(["virtual"], tmp_path / "data")[0].content_hash == before
    assert "older" not in caplog.text


def test_preparing_does_not_replace_the_older_one_unasked(
    package: Path, tmp_path: Path, configure: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
):
    before = older(package, tmp_path / "data")
    monkeypatch.setattr("tractprobe.commands.prepare.build", lambda node: Folder("virtual", package / "builtin"))
    with pytest.raises(ConfigError, match=r"of an older package .* it is not replaced unasked"):
        prepare_command(configure("corpus=virtual", f"paths.data={tmp_path}/data", name="prepare"))
    assert PreparedCorpus(tmp_path / "data/virtual").content_hash == before.content_hash


def test_no_finished_run_becomes_one_on_another_corpus(
    package: Path, tmp_path: Path, configure: Callable[..., Any], capsys, caplog
):
    data = tmp_path / "data"
    before = older(package, data)
    line = ["corpora=[virtual]", "held_out=it", f"paths.data={data}", NARROW]
    result = train(configure(*line))
    assert result["identity"]["corpora"] == {"virtual": before.content_hash}
    assert train(configure(*line)) == result  # goes on as if nothing had changed
    (data / "older").mkdir()
    (data / "virtual").rename(data / "older/virtual")
    open_corpora(["virtual"], data)
    with pytest.raises(RunError, match="another version of corpus virtual"):
        train(configure(*line))
    train(configure(*line, f"paths.runs={tmp_path}/runs/new"))
    capsys.readouterr()
    assert main(["table", str(tmp_path / "runs")]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("by held-out language") == 2  # a table for each
    assert "virtual is 2 corpora here, by content" in printed.err + caplog.text
    assert main(["report", str(tmp_path / "runs")]) == 0
    assert "virtual is 2 corpora here, by content" in (tmp_path / "runs/report/index.html").read_text()


def test_names_of_one_content_are_not_told():
    assert namesakes([{"a": "1" * 64}, {"a": "1" * 64, "b": "2" * 64}]) == []
    (said,) = namesakes([{"a": "1" * 64}, {"a": "2" * 64}])
    assert said.startswith("a is 2 corpora here, by content 111111, 222222: what was made on one is neither averaged")


LANGUAGES = {"de", "en", "es", "fi", "hi", "it", "nl", "zh"}
MAX_BYTES = 30_000_000
"""Of all speech in the package, interventions included."""


def about(root: Path) -> list[dict[str, Any]]:
    """What is said of each utterance."""
    return [json.loads(path.read_text(encoding="utf-8")) | {"id": path.stem} for path in sorted(root.rglob("*.json"))]


def test_it_is_as_large_as_documented():
    roots = [Path(builtin_corpus("virtual")), Path(builtin_interventions())]
    assert sum(path.stat().st_size for root in roots for path in root.rglob("*") if path.is_file()) <= MAX_BYTES
    every = about(roots[0])
    assert {one["id"] for one in about(Path(builtin_corpus("virtual_demo")))} < {one["id"] for one in every}
    assert {one["language"] for one in every} == LANGUAGES | {"zxx"}
    assert len({one["speaker"] for one in every}) == 8
    texts: dict[str, set[str]] = {}
    for one in every:
        texts.setdefault(one["text"], set()).add(one["language"])
    assert all(len(languages) == 1 for languages in texts.values())  # texts of its own for each language
    babble = [one["text"] for one in every if one["language"] == "zxx"]
    assert len(set(babble)) == len(babble)


def test_each_part_of_it_passes_through_the_reader():
    """The demonstration is read whole by tests that prepare it; of the rest, the first and last of each folder."""
    reader = Folder("virtual", Path(builtin_corpus("virtual")))
    by_folder: dict[Path, list[str]] = {}
    for source in reader.sources():
        by_folder.setdefault(Path(source).parent, []).append(source)
    assert set(map(str, by_folder)) == {"babble", "demo", "rest"}
    for sources in by_folder.values():
        for source in (sources[0], sources[-1]):
            (utterance,) = reader.read(source)
            utterance.check_times()
            assert utterance.track.rate_hz == 100 and utterance.labels["kind"] and utterance.f0_hz is not None
    assert set(reader.palates()) == {one["speaker"] for one in about(reader.root)}
    assert reader.about()["simulated"] is True and reader.about()["generator"].startswith("vocaltract ")


def test_the_demonstration_allows_the_2_x_2(tmp_path: Path):
    corpus = prepare(Folder("virtual_demo", Path(builtin_corpus("virtual_demo"))), tmp_path)
    assert corpus.description["skipped"] == [] and corpus.simulated and 4.5 <= corpus.description["hours"] * 60 <= 9
    cells = {(entry.language, entry.speaker) for entry in corpus.entries}
    assert {language for language, _ in cells} == LANGUAGES and len({speaker for _, speaker in cells}) == 4
    assert set(corpus.palates) == {speaker.partition("/")[2] for _, speaker in cells}
    arms = CrossedRule()(corpus.entries, 0)
    tested: dict[tuple[bool, bool], set[tuple[str, str]]] = {}
    for arm in arms:
        tested.setdefault((arm.condition.language, arm.condition.speaker), set()).update(arm.tested)
    for condition in ((True, True), (True, False), (False, True), (False, False)):
        assert {language for language, _ in tested[condition]} == LANGUAGES, condition
