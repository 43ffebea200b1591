"""Figures of the literature: the list is whole and sourced; ours stand beside those of corpora that are prepared."""

from pathlib import Path

import pytest
from conftest import write_corpus

from tractprobe.corpora.prepared.prepare import prepare
from tractprobe.corpora.readers.folder import Folder
from tractprobe.evidence.analyses.published import Published
from tractprobe.evidence.bench import Bench, chosen_layer
from tractprobe.evidence.literature import published_figures
from tractprobe.evidence.record import Evidence, Record, write_record
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.estimate import mean_over_speakers
from tractprobe.runs.result import speaker_means
from tractprobe.runs.settings import Settings
from tractprobe.system.errors import ConfigError


@pytest.fixture(scope="module")
def hprc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy corpus under the name of a published one: three speakers, in English alone."""
    folder = tmp_path_factory.mktemp("published")
    raw = write_corpus(folder / "raw", languages=("en",), speakers=3, sentences=6)
    prepare(Folder("hprc", raw), folder / "data")
    return folder / "data"


def bench_of(configure, *overrides: str) -> Bench:
    return Bench(Settings.of(plain(configure("model=mel_frame", *overrides))))


def test_every_figure_has_a_source_and_a_reading():
    figures = published_figures()
    assert len({figure.id for figure in figures}) == len(figures) > 25
    for figure in figures:
        assert figure.read in ("primary", "averaged", "secondary") and figure.source and figure.paper and figure.corpus
        assert figure.split in ("", "sentence", "speaker", "language") and not (figure.split and not figure.corpora)
        assert figure.r is None or (0 < figure.r < 1 and figure.r_low is None)
        assert (figure.r_low is None) == (figure.r_high is None)


def test_figures_of_corpora_have_names_under_which_these_are_prepared():
    options = {path.stem for path in (conf_dir() / "corpus").glob("*.yaml")}
    assert {name for figure in published_figures() for name in figure.corpora} <= options
    models = {path.stem for path in (conf_dir() / "model").glob("*.yaml")}
    assert {figure.encoder for figure in published_figures()} - {""} <= models


@pytest.mark.parametrize(
    ("id_", "shown"),
    [("cho2022_mel", "0.500"), ("cho2023_universal", "over 0.800"), ("frost_read", "0.70 to 0.74"),
     ("hao2024_cross_lingual", "not read")],
)  # fmt: skip
def test_a_figure_is_shown_as_it_is_known(id_: str, shown: str):
    assert str(next(figure for figure in published_figures() if figure.id == id_)) == shown


def test_without_a_published_corpus_the_list_stands_alone(configure, tmp_path: Path):
    found = Published()(bench_of(configure))
    (finding,) = found.findings
    assert finding.value is None and "corpora=['toy']" in finding.says and "hprc" in finding.says
    assert len(found.tables[0].rows) == len(published_figures())
    assert [series.name for series in found.figures[0].series] == ["published"]
    write(tmp_path, found)


def test_ours_is_r_by_the_same_kind_of_split_with_what_differs(configure, hprc: Path, tmp_path: Path):
    bench = bench_of(configure, "corpora=[hprc]", "split=sentence", f"paths.data={hprc}")
    found = Published()(bench)
    finding = found.finding("artboost_hprc")
    fits = bench.fit(list(bench.splits("speaker").values()))
    values = speaker_means(row for fit in fits for row in fit.rows() if row["layer"] == chosen_layer(fit))
    expected = mean_over_speakers(values, fisher=True)
    assert (finding.value, finding.low, finding.high) == pytest.approx((expected.mean, expected.low, expected.high))
    assert finding.n == {"speakers": 3, "languages": 1} and len(finding.by) == 12
    assert "by held-out speaker, where arXiv 2606.16327 has 0.732" in finding.says and "secondary" in finding.says
    assert "encoder: not known, ours mel_frame" in finding.says and "speakers: 8, ours 3" in finding.says
    row = next(row for row in found.tables[0].rows if row["id"] == "artboost_hprc")
    assert (row["ours"], row["r"], row["n"]) == (finding.value, "0.732", 3)
    assert {finding.name for finding in found.findings} == {
        figure.id for figure in published_figures() if "hprc" in figure.corpora
    }
    write(tmp_path, found)


def test_what_one_language_cannot_tell_is_said(configure, hprc: Path, tmp_path: Path):
    """FROST's figures across languages need two of them."""
    raw = write_corpus(tmp_path / "raw", languages=("fi",), speakers=2, sentences=6)
    prepare(Folder("frost", raw), tmp_path / "data")
    found = Published()(bench_of(configure, "corpora=[frost]", "split=sentence", f"paths.data={tmp_path / 'data'}"))
    finding = found.finding("pandey2026_language")
    assert finding.value is None and "one language only" in finding.says
    assert found.finding("pandey2026_speaker").value is not None
    assert "no r of its corpus" not in found.finding("pollio2026_mms_fi").says


def test_a_split_that_cannot_be_fitted_leaves_the_others(configure, hprc: Path, monkeypatch: pytest.MonkeyPatch):
    bench, fit = bench_of(configure, "corpora=[hprc]", "split=sentence", f"paths.data={hprc}"), Bench.fit

    def refuse_speakers(self: Bench, splits):
        if len(splits) == 3:  # one for each speaker
            raise ConfigError("too few speakers")
        return fit(self, splits)

    monkeypatch.setattr(Bench, "fit", refuse_speakers)
    found = Published()(bench)
    assert found.finding("artboost_hprc").value is None and "too few speakers" in found.finding("artboost_hprc").says
    assert found.finding("pouw2025_mfcc").value is not None


def write(folder: Path, evidence: Evidence) -> None:
    """Write evidence, which fails for a number that JSON cannot hold."""
    identity = {"model": "mel", "seed": 0, "corpora": {}, "encoder": {}, "analysis": {}}
    write_record(folder / "e", Record("published", 1, identity, {}, "", {}, {}, {}, evidence))
