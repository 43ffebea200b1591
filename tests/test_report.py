"""The report: what it shows of records, what it leaves out and says so, and that nothing in a record can do harm."""

import csv
import json
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict, replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import Tab, browsing
from conftest import REPOSITORY
from evidence_records import (
    ABOUT,
    ANALYSES,
    CORPORA,
    LANGUAGES,
    SPEAKERS,
    SUPPORTING,
    figures,
    found,
    record,
    scores,
    write,
)
from scipy import stats
from test_results import write_run

from tractprobe import sweep
from tractprobe.cli import main
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.record import Band, Evidence, Figure, Level, Record, Series
from tractprobe.evidence.rules import CLAIMS
from tractprobe.evidence.tables.rows import collect as collect_rows
from tractprobe.evidence.tables.table import layer_tables
from tractprobe.inversion.film import Film
from tractprobe.inversion.player import player
from tractprobe.report.blocks import Film as FilmBlock
from tractprobe.report.blocks import Text
from tractprobe.report.claims import claim_rows, sentence
from tractprobe.report.collect import collect
from tractprobe.report.compare import compared
from tractprobe.report.content import document
from tractprobe.report.figures import NotDrawn, check, range_of, svg
from tractprobe.report.films import examples, film_of, films_of, held_out, r_of
from tractprobe.report.markdown import markdown
from tractprobe.report.numbers import number
from tractprobe.report.page import page
from tractprobe.report.palette import DARK, LIGHT, LINES, SERIES, TEXTS
from tractprobe.report.pictures import first_screen, moving
from tractprobe.runs import tracking
from tractprobe.runs.configuration import plain
from tractprobe.runs.settings import Settings
from tractprobe.signals.track import Track

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&| `x` \u2028\u202e\ud800[a](http://x)"


class Elements(HTMLParser):
    """What a browser would take for elements, and the text between them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def complete(folder: Path, *models: str) -> None:
    """Records of all analyses."""
    for model in models or ("hubert",):
        write(folder, *(record(analysis, model) for analysis in ANALYSES))


def made(folder: Path) -> str:
    return page(document(collect(folder), "The evidence"))


def reported(folder: Path, capsys) -> str:
    """What the command prints."""
    assert main(["report", str(folder), "--no-player"]) == 0
    return capsys.readouterr().out


def test_the_command_writes_a_page_its_twin_and_the_claims(tmp_path, capsys):
    complete(tmp_path)
    printed = reported(tmp_path, capsys)
    assert "universal physics for hubert." in printed.lower() and str(tmp_path / "report/index.html") in printed
    text, twin = ((tmp_path / "report" / name).read_text() for name in ("index.html", "report.md"))
    with open(tmp_path / "report/claims.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(CLAIMS) and {row["verdict"] for row in rows} == {"supported"}
    assert rows[0]["effect"] == "0.12" and rows[0]["n"] == "4 speakers, 3 languages"
    for row in rows:
        number = f"{float(row['effect']):.3f}".lstrip("0")
        assert number in text and number in twin
    assert main(["report", str(tmp_path), "--no-player", "--output", str(tmp_path / "mine.html")]) == 0
    assert (tmp_path / "mine.html").is_file() and (tmp_path / "mine.md").is_file()


def test_an_empty_folder_is_one_line(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "none"):
        assert main(["report", str(folder)]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and str(folder) in said
    assert not list(tmp_path.iterdir())


def test_what_is_damaged_is_named_and_the_rest_shown(tmp_path, capsys):
    complete(tmp_path, "hubert", "mel")
    broken = tmp_path / "mel/all/evidence/controls/s0/evidence.json"
    broken.write_text("{")
    run = tmp_path / "mel/all/ridge/it/s0"
    run.mkdir(parents=True)
    (run / "result.json").write_text("[]")
    printed = reported(tmp_path, capsys)
    text = (tmp_path / "report/index.html").read_text()
    for path in (broken, run / "result.json"):
        assert f"left out: {path}" in printed and str(path) in text
    (group,) = collect(tmp_path).groups
    cell = next(row for row in claim_rows([group]) if (row["encoder"], row["claim"]) == ("mel", "decodable"))
    assert cell["verdict"] == "undecided" and cell["missing"] == "controls"
    for file in tmp_path.rglob("evidence.json"):
        file.write_text("no")
    assert main(["report", str(tmp_path)]) == 1 and "no finished analysis" in capsys.readouterr().err


def test_other_corpora_have_sections_of_their_own(tmp_path):
    complete(tmp_path, "hubert")
    other = record("curves", "mel")
    write(tmp_path, replace(other, identity={**other.identity, "corpora": {"mocha": "cd" * 32}}))
    smoother = record("curves", "xlsr")
    write(tmp_path, replace(smoother, settings={**smoother.settings, "ema": {"lowpass_hz": 25.0}}))
    collection = collect(tmp_path)
    assert [[subject.label for subject in group.subjects] for group in collection.groups] == [
        ["hubert"],
        ["xlsr"],
        ["mel"],
    ]
    twin = markdown(document(collection, "t"))
    assert twin.count("**Claims by rule**") == 3 and twin.count("# Other material: ") == 2
    assert [group.corpora for group in collection.groups] == [CORPORA, CORPORA, {"mocha": "cd" * 32}]


def test_older_versions_copies_and_contradictions_are_left_out_and_said(tmp_path):
    write(tmp_path / "a", record("curves"), replace(record("curves", "mel"), version=2))
    write(tmp_path / "b", record("controls"))
    write(tmp_path / "c", record("controls"))
    write(tmp_path / "d", record("controls", findings=(found("beyond_acoustics", 0.5),)))
    collection = collect(tmp_path)
    reasons = {each.path: each.reason for each in collection.left_out}
    assert len(reasons) == 3
    of = {
        name: next(reason for path, reason in reasons.items() if path.startswith(str(tmp_path / name)))
        for name in "acd"
    }
    assert "version 1 of curves" in of["a"] and "a copy of" in of["c"] and "other numbers" in of["d"]
    (group,) = collection.groups
    assert sorted((each.analysis, each.model) for each in group.records) == [("controls", "hubert"), ("curves", "mel")]
    text = page(document(collection, "t"))
    assert all(path in text for path in reasons)


def test_one_name_for_two_encoders_is_no_column(tmp_path):
    write(tmp_path / "a", record("curves"))
    other = record("controls")
    write(tmp_path / "b", replace(other, identity={**other.identity, "encoder": {"weights_sha256": "ff"}}))
    collection = collect(tmp_path)
    assert [each.analysis for each in collection.groups[0].records] == ["curves"]
    assert "another encoder" in collection.left_out[0].reason


def test_settings_make_columns_of_their_own(tmp_path):
    def differing(analysis: str, **differences) -> Record:
        own = record(analysis)
        return replace(own, identity={**own.identity, "differences": differences})

    write(tmp_path / "a", record("crossed"))
    write(tmp_path / "b", differing("crossed", **{"head.alphas": [1]}))
    wider = differing("crossed", **{"analysis.margin_r": 0.1})
    write(tmp_path / "c", replace(wider, identity={**wider.identity, "analysis": {"margin_r": 0.1}}))
    (group,) = collect(tmp_path).groups
    assert [subject.label for subject in group.subjects] == ["hubert", "hubert, head.alphas=[1]"]
    assert len(group.of("crossed")) == 3
    assert "hubert (margin_r=0.1)" in page(document(collect(tmp_path), "t"))
    # Claims are decided under the shipped settings.
    assert group.findings(group.subjects[0])["crossed"] == group.of("crossed")[0].evidence.findings


def test_nothing_in_a_record_is_taken_for_markup(tmp_path):
    hostile = replace(
        record("curves", "m", (found(HOSTILE, 0.5, says=HOSTILE, unit=HOSTILE),)),
        command=HOSTILE, about={"training": HOSTILE, "languages": [HOSTILE], "licence": HOSTILE},
    )  # fmt: skip
    first, *_ = figures("curves", 0.5)
    named = replace(first, title=HOSTILE, x=HOSTILE, y=HOSTILE, series=(Series(HOSTILE, ([HOSTILE, 0.1, 0.0, 0.2],)),),
                    band=Band(HOSTILE, 0, 0.1), levels=(Level(HOSTILE, 0.3),))  # fmt: skip
    figures_ = (named, replace(named, name="b", kind="matrix"), replace(named, name="c", kind="bars"))
    evidence = replace(hostile.evidence, figures=figures_, caveats=(HOSTILE,), rows=({HOSTILE: HOSTILE},))
    identity = {**hostile.identity, "model": HOSTILE, "corpora": {HOSTILE: HOSTILE}, "versions": {HOSTILE: HOSTILE}}
    plain = asdict(replace(hostile, evidence=evidence, identity=identity))
    del plain["folder"]
    folder = tmp_path / "m/all/evidence/curves/s0"
    folder.mkdir(parents=True)
    (folder / "evidence.json").write_text(json.dumps(plain))
    assert main(["report", str(tmp_path), "--no-player", "--title", HOSTILE]) == 0
    text, twin = ((tmp_path / "report" / name).read_text() for name in ("index.html", "report.md"))
    elements = Elements(text)
    assert [tag for tag, _ in elements.tags].count("script") == 1
    assert not {tag for tag, _ in elements.tags} & {"img", "link", "iframe", "object", "base", "form"}
    assert not [
        name for _, attributes in elements.tags for name in attributes if name.startswith("on") or name == "src"
    ]
    links = [attributes["href"] for tag, attributes in elements.tags if tag == "a"]
    assert all(link and link.startswith("#") for link in links)
    assert "\u202e" not in text + twin
    outside = re.sub(r"(?<![`\\])(`+)(?!`).*?(?<!`)\1(?!`)", "", twin)  # code is not read as markup
    assert not re.search(r"(?<!\\)(<(script|img|/)|\[a)", outside) and outside.count("alert") > 10
    policy = next(a["content"] for tag, a in elements.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'")


def test_the_twin_says_what_the_page_says(tmp_path):
    complete(tmp_path, "hubert", "mel")
    whole = document(collect(tmp_path), "The evidence")
    on_page = " ".join(" ".join(Elements(page(whole)).texts).split())
    for line in markdown(whole).splitlines():
        for cell in re.split(r" \| |<br>", line.strip("|")):
            text = re.sub(r"\\(.)", r"\1", cell.replace("**", "").strip(" #-"))
            numbers = re.findall(r"[−.\d]*\.\d{3}", text)
            assert all(number in on_page for number in numbers), text
    titles = re.findall(r"^## (.*)$", markdown(whole), re.M)
    assert [re.sub(r"\\(.)", r"\1", title) for title in titles] == [section.title for section in whole.sections]


def test_encoders_are_compared_within_speakers():
    """Against scipy: one language, so that the mean is over speakers alone."""
    values = {"a": [0.5, 0.6, 0.7, 0.65], "b": [0.45, 0.5, 0.68, 0.6]}

    def of(model: str) -> Record:
        rows = tuple({"condition": "c", "language": "it", "speaker": speaker, "layer": model, "r": r, "rmse_mm": 2 * r}
                     for speaker, r in zip(SPEAKERS, values[model], strict=True))  # fmt: skip
        own = record("curves", model)
        return replace(own, evidence=replace(own.evidence, rows=rows))

    (one,) = compared([of("a"), of("b")]).each
    differences = np.subtract(values["a"], values["b"])
    expected = stats.ttest_rel(values["a"], values["b"]).confidence_interval(0.95)
    assert one.difference.mean == pytest.approx(differences.mean())
    assert (one.difference.low, one.difference.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert one.p == pytest.approx(2 / 2**4) and one.unpaired == 0
    assert one.word == ("higher" if expected.low > 0 else "undecided")


def test_intervals_of_several_encoders_hold_together():
    records = []
    random = np.random.default_rng(0)
    for model in "abc":
        own = record("curves", model)
        rows = tuple({**row, "r": row["r"] + random.normal(0, 0.05)} for row in scores(0.5))
        records.append(replace(own, evidence=replace(own.evidence, rows=rows)))
    each = compared(records).each
    assert [(one.one, one.other) for one in each] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {round(one.difference.level, 6) for one in each} == {round(1 - 0.05 / 3, 6)}
    alone = compared(records[:2]).each[0].difference
    assert each[0].difference.low < alone.low < alone.high < each[0].difference.high


def test_what_cannot_be_paired_is_said():
    one, other = record("curves", "a"), record("curves", "b")
    fewer = tuple(row for row in scores(0.5) if row["speaker"] != SPEAKERS[0])
    (found_,) = compared([one, replace(other, evidence=replace(other.evidence, rows=fewer))]).each
    assert found_.difference.n == 3 and found_.unpaired == len(LANGUAGES)
    twice = compared([one, replace(other, evidence=replace(other.evidence, rows=fewer + fewer))])
    assert not twice.each and "several scores of one speaker" in twice.not_compared[0]
    strangers = tuple({**row, "speaker": f"x{row['speaker']}"} for row in scores(0.5))
    apart = compared([one, replace(other, evidence=replace(other.evidence, rows=strangers))])
    assert not apart.each and "no speaker in common" in apart.not_compared[0]


def drawn(figure: Figure, y: tuple[float, float] | None = None) -> ElementTree.Element:
    check(figure)
    return ElementTree.fromstring(svg(figure, y or range_of([figure]), "f"))


def test_layers_are_points_at_layers_and_gaps_stay_gaps():
    points = ([0, 0.1, 0.0, 0.2], [3, 0.5, 0.4, 0.6], [12, None, None, None], [24, 0.3, None, None])
    root = drawn(Figure("f", "t", "layer", "r", (Series("s", points),)))
    marks = [
        (float(mark.get("cx", 0)), float(mark.get("cy", 0))) for mark in root.iter("circle") if mark.get("r") == "3.6"
    ]
    marks = marks[:3]
    assert (marks[1][0] - marks[0][0]) / (marks[2][0] - marks[0][0]) == pytest.approx(3 / 24, abs=0.01)
    assert (marks[0][1] - marks[1][1]) / (marks[0][1] - marks[2][1]) == pytest.approx(0.4 / 0.2, abs=0.02)
    lines = [path.get("d") or "" for path in root.iter("path") if path.get("class") == "line"]
    assert len(lines) == 1 and lines[0].count("L") == 1  # nothing joins what a gap parts
    whiskers = [path.get("d") or "" for path in root.iter("path") if path.get("class") is None]
    assert len(whiskers) == 2


def test_null_band_and_ceiling_are_drawn_where_they_are():
    figure = figures("curves", 0.5)[0]
    root = drawn(figure, (0.0, 1.0))
    (level,) = [
        path
        for path in root.iter("path")
        if (path.get("class") or "").startswith("level") and "V" not in (path.get("d") or "")
    ][:1]
    bands = [box for box in root.iter("rect") if box.get("class") == "null"]
    ticks = {text.text: float(text.get("y", 0)) - 4 for text in root.iter("text") if text.get("text-anchor") == "end"}
    y_of = lambda value: ticks["0"] + value * (ticks["1"] - ticks["0"])  # noqa: E731
    assert float((level.get("d") or "").split()[1].partition("H")[0]) == pytest.approx(y_of(0.7), abs=0.2)
    assert float(bands[0].get("y", 0)) == pytest.approx(y_of(0.05), abs=0.2)
    names = [text.text for text in root.iter("text")]
    assert "null, 95 %" in names and "ceiling: own heads .700" in names


def test_a_matrix_shows_intervals_and_is_scaled_to_what_it_holds():
    rows = (Series("de", (["de", 0.9, 0.85, 0.95], ["it", None, None, None])), Series("it", (["de", 0.8, 0.75, 0.85],)))
    root = drawn(Figure("m", "t", "tested on", "r", rows, "matrix"))
    opacity = [float(box.get("fill-opacity", 0)) for box in root.iter("rect") if box.get("class") == "cell"]
    assert max(opacity) == pytest.approx(0.34) and min(opacity) == pytest.approx(0.04)
    names = [text.text for text in root.iter("text")]
    assert {".900", "[.850, .950]", ".800", "[.750, .850]", "–"} <= set(names)
    assert any("colour: .800 (lightest) to .900 (darkest)" in str(name) for name in names)


def test_all_encoders_share_a_scale(tmp_path):
    write(tmp_path, record("curves", "a", r=0.2), record("curves", "b", r=0.9))
    text = made(tmp_path)
    ticks = [re.findall(r'text-anchor="end">([−.\d]+)</text>', part) for part in text.split("<figure>")[1:3]]
    assert ticks[0] == ticks[1] and len(ticks[0]) > 2


@pytest.mark.parametrize(
    "figure",
    [
        Figure("f", "t", "x", "y", (Series("s", ("no",)),)),
        Figure("f", "t", "x", "y", (Series("s", ([1],)),)),
        Figure("f", "t", "x", "y", (Series("s", ([1, "a", None, None],)),)),
        Figure("f", "t", "x", "y", (Series("s", ([1, 1e300, None, None],)),)),
        Figure("f", "t", "x", "y", (Series("s", ([None, 1, None, None],)),)),
        Figure("f", "t", "x", "y", (Series("s", tuple([k, 1, None, None] for k in range(5000))),)),
        Figure("f", "t", "x", "y", tuple(Series(str(k), ([1, 1, None, None],)) for k in range(13))),
        Figure("f", "t", "x", "y", (Series("s", tuple([str(k), 1, None, None] for k in range(99))),), "bars"),
    ],
)
def test_a_figure_that_is_none_is_said_and_its_page_made(figure, tmp_path):
    with pytest.raises(NotDrawn):
        check(figure)
    own = record("curves")
    write(tmp_path, replace(own, evidence=replace(own.evidence, figures=(figure,))))
    assert "not drawn" in made(tmp_path) and "<svg" not in made(tmp_path)


@pytest.mark.parametrize("kind", ["lines", "points", "bars", "matrix"])
def test_a_figure_without_points_or_with_one_is_drawn(kind):
    for points in ((), ([0, 0.5, None, None],), (["a", 0.5, 0.5, 0.5],), ([0, None, None, None],)):
        drawn(Figure("f", "t", "x", "y", (Series("s", points),), kind))
    drawn(Figure("f", "t", "x", "y", (), kind))


def test_what_was_not_run_has_the_line_that_would(tmp_path):
    write(tmp_path, record("curves"))
    text = made(tmp_path)
    assert "python train.py study=crossed model=hubert &#x27;corpora=[hprc]&#x27;" in text
    assert "Raised in one language each" in text and "study=raised_in model=hubert" in text


def test_the_answer_is_made_of_the_cells(tmp_path):
    complete(tmp_path, "hubert", "wavlm")
    for name, analysis, low in (("wavlm", "crossed", 0.05),):
        own = record(analysis, name)
        changed = tuple(replace(each, value=low + 0.01, low=low, high=low + 0.02) if each.margin else each
                        for each in own.evidence.findings)  # fmt: skip
        write(tmp_path, replace(own, evidence=replace(own.evidence, findings=changed)))
    write(tmp_path, record("curves", "mel"))
    (group,) = collect(tmp_path).groups
    assert sentence(group) == (
        "Language-specific sounds, or universal physics? Universal physics for hubert; language-specific sounds for "
        "wavlm; undecided for mel (decodable beyond acoustics, language-agnostic and beyond phones)."
    )


def test_an_answer_on_simulated_speech_says_so(tmp_path):
    own = record("curves")
    write(tmp_path, replace(own, identity={**own.identity, "corpora": {"virtual": "00"}}))
    (group,) = collect(tmp_path).groups
    assert sentence(group).endswith("On virtual, which is simulated: this says nothing of people.")


@pytest.mark.parametrize(
    ("corpora", "simulated", "said"),
    [
        ({"virtual": "00"}, [], ""),  # a corpus of that name that says it was recorded
        ({"lab": "00"}, None, ""),
        ({"lab": "00"}, [], ""),
        ({"lab": "00"}, ["lab"], "On lab, which is simulated: this says nothing of people."),
        ({"lab": "00", "mine": "01"}, ["lab"], "On lab, which is simulated: people are not alone here."),
        ({"lab": "00", "mine": "01"}, ["lab", "mine"], "On lab and mine, which are simulated: this says nothing of"),
        ({"lab": "00"}, "lab", ""),  # of a damaged record
    ],
)
def test_simulated_is_what_records_say(tmp_path, corpora, simulated, said):
    own = record("curves")
    material = {**own.material} | ({"simulated": simulated} if simulated is not None else {})
    write(tmp_path, replace(own, identity={**own.identity, "corpora": corpora}, material=material))
    (group,) = collect(tmp_path).groups
    assert said in sentence(group) if said else "simulated" not in sentence(group)


def test_runs_are_in_it_with_their_tables(tmp_path, capsys):
    for language in ("it", "en"):
        write_run(tmp_path, held_out=language)
    printed = reported(tmp_path, capsys)
    assert "universal" not in printed  # runs alone answer nothing
    text = (tmp_path / "report/index.html").read_text()
    table = str(layer_tables(collect_rows(tmp_path))[0])
    cells = re.findall(r"\.\d{3} \[[^]]*\]", table)
    assert len(cells) == 6 and all(cell in text for cell in cells)
    assert "runs, but no analysis" in text
    shutil.copytree(tmp_path / "mel/all/ridge/it/s0", tmp_path / "copy")
    result = json.loads((tmp_path / "copy/result.json").read_text())
    result["scores"][0]["r"] = 0.9
    (tmp_path / "copy/result.json").write_text(json.dumps(result))
    assert "two results of one run" in reported(tmp_path, capsys)


SMALL = ["model=random", "model.layers=1", "model.width=16", "model.channels=8"]


def test_utterances_move_as_heads_read_them_that_never_heard_the_language(tmp_path, configure):
    settings = plain(configure(*SMALL))
    bench = Bench(Settings.of(settings))
    own = record("curves", "random")
    corpora = {corpus.name: corpus.content_hash for corpus in bench.corpora}
    write(tmp_path / "runs", replace(own, settings=settings, identity={**own.identity, "corpora": corpora}))
    (group,) = collect(tmp_path / "runs").groups
    text, *films = films_of(group)
    language, fitted = held_out(bench)
    assert isinstance(text, Text) and f"never heard {language}" in text.text
    assert {bench.entries[id_].language for id_ in fitted.problem.split.test} == {language}
    first = examples(bench, fitted, 3)
    assert len(films) == len(first) == len({bench.entries[id_].speaker for id_ in first})
    _, prediction = film_of(bench, fitted, first[0])
    each = [
        stats.pearsonr(x, y).statistic for x, y in zip(prediction.predicted[0].T, prediction.measured.T, strict=True)
    ]
    assert r_of(prediction) == pytest.approx(np.mean(each))
    assert f"r = {number(float(np.mean(each)))}" in films[0].html and '"hasPredicted": true' in films[0].html
    write(tmp_path / "other", replace(own, settings=settings, identity={**own.identity, "corpora": {"toy": "00"}}))
    (said,) = films_of(collect(tmp_path / "other").groups[0])
    assert isinstance(said, Text) and "toy was prepared anew" in said.text
    write(tmp_path / "none", record("controls"))
    (said,) = films_of(collect(tmp_path / "none").groups[0])
    assert isinstance(said, Text) and "study=curves" in said.text


def test_a_sweep_of_analyses_ends_with_the_claims(tmp_path, capsys, monkeypatch):
    complete(tmp_path, "hubert", "mel")
    logged: list[Any] = []

    class Tracking:
        @contextmanager
        def run(self, name, folder, settings, job_type, identity):
            logged.append((name, job_type, identity))
            yield "a logger"

    monkeypatch.setattr(sweep, "build", lambda node: Tracking())
    monkeypatch.setattr(tracking, "log_study", lambda logger, tables, *more: logged.append((logger, tables)))
    sweep._claim("universality", {"corpora": ["hprc"], "tracking": {}}, tmp_path)
    assert "Universal physics for hubert and mel." in capsys.readouterr().out
    (name, job_type, identity), (logger, tables) = logged
    assert name.startswith("studies/universality-") and job_type == "study" and identity["corpora"] == CORPORA
    assert len(identity["cells"]) == 2 * len(ANALYSES) and "hubert/all/evidence/curves/s0" in identity["cells"]
    assert logger == "a logger" and tables["claims"] == claim_rows(collect(tmp_path).groups)


def _luminance(colour: str) -> float:
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def mixed(over: str, under: str, share: float) -> str:
    parts = [round(int(over[k : k + 2], 16) * share + int(under[k : k + 2], 16) * (1 - share)) for k in (1, 3, 5)]
    return "#" + "".join(f"{part:02x}" for part in parts)


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_colours_can_be_read_by_day_and_by_night(colours):
    for text, ground in TEXTS:
        assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for line, ground in LINES:
        assert contrast(colours[line], colours[ground]) >= 3, (line, ground)
    darkest = mixed(colours["s0"], colours["ground"], 0.34)  # of a matrix
    assert contrast(colours["ink"], darkest) >= 4.5
    for one, other in pairwise(SERIES):
        assert colours[one] != colours[other]


def moving_points(duration_s: float = 1.0) -> Track:
    places = np.array([[10, 5], [22, 8], [32, 2], [35, -8], [45, 2], [44, -10]], float)
    times_s = np.arange(round(duration_s * 100)) / 100
    circles = 3 * np.stack([np.cos(6 * times_s), np.sin(6 * times_s)], axis=1)[:, None]
    return Track((places + circles).reshape(len(times_s), -1), 100.0, 0.0)


def test_pictures_of_the_readme_are_small_move_and_load_nothing(tmp_path):
    complete(tmp_path, "hubert", "mel")
    (group,) = collect(tmp_path).groups
    track = moving_points(2.0)
    film = Film.of(track, predicted=Track(track.values + 1, 100.0, 0.0))
    still, moves = first_screen(group), moving(film, HOSTILE)
    for picture in (still, moves):
        root = ElementTree.fromstring(picture)
        assert len(picture) < 300_000 and root.find("{http://www.w3.org/2000/svg}title") is not None
        assert not [element.tag for element in root.iter() if element.tag.endswith(("script", "image", "a", "use"))]
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", picture.replace("http://x", ""))
    assert still.count("✓ supported") == 2 * len(CLAIMS)
    course = re.search(r'class="dot tt"[^>]*>.*?attributeName="cx" values="([^"]*)"', moves)
    assert course is not None
    xs = np.array(course[1].split(";"), float)
    expected = film.points[::4, film.names.index("tt"), 0]
    assert len(xs) == 50
    np.testing.assert_allclose(np.diff(xs), 7 * np.diff(expected), atol=0.11)


def with_players(folder: Path) -> Path:
    """A page with everything, two players among it."""
    complete(folder, "hubert", "mel")
    audio = np.sin(np.arange(16000) / 20).astype(np.float32) * 0.3
    film = Film.of(moving_points(), predicted=moving_points())
    films = [Text("two"), *(FilmBlock(f"film {k}", player(film, audio, HOSTILE)) for k in range(2))]
    path = folder / "page.html"
    path.write_text(page(document(collect(folder), "The evidence", {0: films})), encoding="utf-8")
    return path


IN_FIRST = "document.querySelector('iframe').contentDocument"
PLAYERS = "[...document.querySelectorAll('iframe')].map((frame) => frame.contentDocument)"
READY = f"{PLAYERS}.every((page) => page?.getElementById('clock')?.textContent)"
FITTED = (
    "[...document.querySelectorAll('iframe')]"
    ".every((frame) => frame.contentDocument.body.scrollHeight <= frame.clientHeight)"
)
DESCRIBED = (
    "[...document.querySelectorAll('svg.figure')].every((drawn) => drawn.getAttribute('role') === 'img' && "
    "drawn.getAttribute('aria-labelledby').split(' ').every((id) => document.getElementById(id).textContent))"
)
ONCE = "new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size === " \
       "document.querySelectorAll('[id]').length"  # fmt: skip
LED = "[...document.querySelectorAll('nav a')].every((link) => document.querySelector(link.getAttribute('href')))"
BOXED = (
    "[...document.querySelectorAll('table')].every((table) => "
    "table.parentElement.className === 'box' && table.parentElement.tabIndex === 0)"
)
GROUND = "getComputedStyle(document.body).backgroundColor"
BY_DAY, BY_NIGHT = "rgb(255, 255, 255)", "rgb(20, 24, 29)"


def test_in_a_browser(tmp_path):
    """No complaints, nothing loaded, players play and seek, keys work, and nothing is wider than a phone."""
    path = with_players(tmp_path)
    with browsing(tmp_path / "profile") as browser:
        tab = Tab(browser, path, 1200, 900, dark=False)
        tab.wait(READY)
        clock = f"{IN_FIRST}.getElementById('clock').textContent"
        assert tab.run(clock) == "0.00 / 1.00 s"
        tab.run(
            f"const seek = {IN_FIRST}.getElementById('seek'); seek.value = 0.4; seek.dispatchEvent(new Event('input'))"
        )
        tab.wait(f"{clock}.startsWith('0.40')")
        tab.run(f"{IN_FIRST}.getElementById('play').click()")
        tab.wait(f"parseFloat({clock}) > 0.5")
        assert all(tab.run(condition) for condition in (FITTED, DESCRIBED, ONCE, LED))
        assert tab.run(GROUND) == BY_DAY
        tab.run("document.getElementById('theme').focus()")
        tab.press("Enter", 13)
        tab.wait(f"{GROUND} === '{BY_NIGHT}'")
        assert tab.run(f"getComputedStyle({IN_FIRST}.body).backgroundColor") == BY_NIGHT
        assert tab.complaints() == []
        assert all(url.startswith(("file://", "blob:")) for url in tab.requests())

        phone = Tab(browser, path, 375, 800, dark=True)
        assert phone.run("document.documentElement.scrollWidth") == 375
        assert phone.run(BOXED) and phone.run(GROUND) == BY_NIGHT

        paper = Tab(browser, path, 800, 1000, dark=True, print_=True)
        shown = [
            paper.run(f"getComputedStyle(document.querySelector('{name}')).display") for name in (".films", ".printed")
        ]
        assert shown == ["none", "block"] and paper.run(GROUND) == BY_DAY
        assert phone.complaints() == [] and paper.complaints() == []


def test_five_encoders_and_ten_analyses_take_seconds(tmp_path, capsys):
    complete(tmp_path, "a", "b", "c", "d", "e")
    began = time.process_time()
    reported(tmp_path, capsys)
    assert time.process_time() - began < 10
    assert (tmp_path / "report/index.html").stat().st_size < 2_000_000


def test_the_shipped_pictures_are_small():
    for name in ("first_screen", "moving_tongue"):
        picture = REPOSITORY / "docs" / f"{name}.svg"
        assert picture.stat().st_size < 300_000
        ElementTree.fromstring(picture.read_text(encoding="utf-8"))


def test_findings_of_every_claim_are_in_the_records_made_by_hand():
    assert set(SUPPORTING) == set(ANALYSES) and ABOUT["training"] == "self-supervised"
    assert isinstance(record("curves").evidence, Evidence)


def test_a_comparison_says_how_the_two_were_trained_and_whether_that_is_all():
    from tractprobe.report.sections import _training

    own = {"training": "self-supervised", "layers": 12, "width": 768}
    assert _training(own, own | {"training": "supervised"}) == "self-supervised − supervised, one architecture"
    assert _training(own, own | {"layers": 24}) == "self-supervised − self-supervised"
    assert _training({}, {}) == "not stated − not stated"
