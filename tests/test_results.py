import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tractprobe.cli import main
from tractprobe.evidence.tables.comparison import differences
from tractprobe.evidence.tables.figures import write_pictures
from tractprobe.evidence.tables.rows import collect
from tractprobe.evidence.tables.table import layer_means, layer_tables
from tractprobe.runs.estimate import mean_over_speakers
from tractprobe.runs.result import MOMENTS, RUN_FIELDS, SCORE_FIELDS, read_result
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import RunError
from tractprobe.system.files import digest

SPEAKERS = ("c/a", "c/b", "c/d")


def score(layer: int, language: str, speaker: str, channel: str) -> float:
    """A number that tells all four apart."""
    return 0.1 * layer + 0.02 * SPEAKERS.index(speaker) + 0.001 * CHANNELS.index(channel) + 0.2 * (language == "it")


def write_run(
    runs: Path,
    model: str = "mel",
    held_out: str = "it",
    seed: int = 0,
    suffix: str = "",
    differences: dict[str, Any] | None = None,
    **more: Any,
) -> Path:
    rows = [
        {"layer": layer, "corpus": "c", "language": held_out, "speaker": speaker, "target": "ema",
         "channel": channel, "unit": "mm", "n_frames": 10,
         "r": score(layer, held_out, speaker, channel), "rmse": 1.5, "r2": 0.2, "ccc": None}
        for layer in (0, 1) for speaker in SPEAKERS for channel in CHANNELS
    ]  # fmt: skip
    identity = {"model": model, "head": "ridge", "split": "language", "held_out": held_out, "seed": seed,
                "corpora": {"c": "abc"}, "encoder": {"encoder": model}, "differences": differences or {}}  # fmt: skip
    folder = runs / f"{model}/all/ridge/{held_out}/s{seed}{suffix}"
    folder.mkdir(parents=True)
    result = {"identity": identity, "settings": {}, "scores": rows} | more
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_cells_are_means_over_channels_then_speakers_and_the_last_column_over_languages(tmp_path: Path):
    for held_out in ("en", "it"):
        write_run(tmp_path, held_out=held_out)
    (table,) = layer_tables(collect(tmp_path))
    assert table.columns == ("en", "it", "mean")
    for layer in (0, 1):
        expected = {
            language: np.mean([score(layer, language, s, c) for s in SPEAKERS for c in CHANNELS])
            for language in ("en", "it")
        }
        for language in ("en", "it"):
            assert table.cells[layer, language].mean == pytest.approx(expected[language])
            assert table.cells[layer, language].n == 3
        assert table.cells[layer, "mean"].mean == pytest.approx(np.mean(list(expected.values())))
    assert "mel, ridge: r by held-out language, n speakers" in str(table)
    assert [line.split() for line in str(table).splitlines()[-3:-1]] == [
        ["n", "3", "3", "3"], ["rows", "36", "36", "72"]
    ]  # fmt: skip
    assert str(table).splitlines()[-1] == "rows: 12 channels of each speaker in a language"


def test_models_and_settings_have_tables_of_their_own_and_seeds_are_averaged(tmp_path: Path):
    write_run(tmp_path)
    write_run(tmp_path, seed=1)
    write_run(tmp_path, model="random")
    write_run(tmp_path, suffix="-abcdef", differences={"ema.cutoff_hz": 5})
    tables = layer_tables(collect(tmp_path))
    hash_ = digest({"ema.cutoff_hz": 5})[:6]
    assert [table.title for table in tables] == [
        "mel, ridge: r by held-out language, n speakers",
        f"mel, ridge: r by held-out language ({hash_}: ema.cutoff_hz=5), n speakers",
        "random, ridge: r by held-out language, n speakers",
    ]
    assert str(tables[0]).splitlines()[-1] == "rows: 12 channels of each speaker in a language, 2 seeds"


@pytest.mark.parametrize("what", ["corpora", "encoder"])
def test_runs_on_other_versions_of_data_or_encoder_are_not_averaged(tmp_path: Path, what: str):
    write_run(tmp_path)
    path = write_run(tmp_path, held_out="en") / "result.json"
    result = json.loads(path.read_text())
    result["identity"][what] = {"c": "another"}
    path.write_text(json.dumps(result))
    tables = layer_tables(collect(tmp_path))
    assert len(tables) == 2 and all("data and encoder" in table.title for table in tables)


def test_mm_that_rest_on_test_frames_are_marked(tmp_path: Path):
    write_run(tmp_path, scaled_by_own_test_frames=["c/b"])
    rows = collect(tmp_path)
    assert {row["speaker"] for row in rows if row["own_scale"]} == {"c/b"}
    assert "mm of c/b by their own test frames" in str(layer_tables(rows)[0])


def test_the_command_prints_the_table_and_writes_the_tidy_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for held_out in ("en", "it"):
        write_run(tmp_path / "runs", held_out=held_out)
    assert (
        main(
            [
                "table",
                str(tmp_path / "runs"),
                "--csv",
                str(tmp_path / "scores.csv"),
                "--pictures",
                str(tmp_path / "pictures"),
            ]
        )
        == 0
    )
    printed = capsys.readouterr().out
    assert "layer  en" in printed and ".226 [" in printed and "144 rows in" in printed
    with open(tmp_path / "scores.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert (
        list(rows[0]) == [*RUN_FIELDS, "material", "settings", "train_min", "own_scale", *SCORE_FIELDS, *MOMENTS]
        and len(rows) == 2 * 2 * 3 * 12
    )
    assert rows[0]["run"] == "mel/all/ridge/en/s0" and rows[0]["ccc"] == ""
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert len(pictures) == 2 and pictures[0] == "layers.png" and pictures[1].startswith("matrix-mel-ridge-r-by")


def test_the_command_on_nothing_is_one_line_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["table", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"tractprobe: {tmp_path / 'none'}: no such folder\n"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path):
    write_run(tmp_path)
    command = f"{sys.executable} -m tractprobe.cli table {tmp_path} | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert result.stderr == ""


def test_undefined_scores_are_left_out_of_means(tmp_path: Path):
    folder = write_run(tmp_path)
    result = read_result(folder)
    for row in result["scores"]:
        row["r"] = None if row["channel"] == "td_x" or row["speaker"] == "c/b" else row["r"]
    (folder / "result.json").write_text(json.dumps(result))
    (table,) = layer_tables(collect(tmp_path))
    expected = np.mean([score(0, "it", s, c) for s in ("c/a", "c/d") for c in CHANNELS[1:]])
    assert table.cells[0, "it"].mean == pytest.approx(expected) and table.cells[0, "it"].n == 2
    assert [line.split(maxsplit=1)[1] for line in str(table).splitlines()[-4:-2]] == ["2", "22 of 36"]
    assert str(table).splitlines()[-1] == (
        "undefined r, left out of means: layer 0, it: 14 of 36 (all of td_x, c/b); "
        "layer 1, it: 14 of 36 (all of td_x, c/b)"
    )
    assert [(row["rows"], row["undefined"]) for row in table.rows()] == [(36, 14)] * 2
    assert layer_means(collect(tmp_path))[0]["test/r/undefined"] == 14


def test_a_layer_without_any_r_is_undefined_and_not_left_out(tmp_path: Path):
    edit(
        write_run(tmp_path) / "result.json",
        lambda result: [row.update(r=None) for row in result["scores"] if row["layer"] == 1],
    )
    (table,) = layer_tables(collect(tmp_path))
    lines = str(table).splitlines()
    assert lines[3].split() == ["1", "undefined"] and lines[5].split() == ["rows", "0-36", "of", "36"]


def test_metrics_for_dashboards_agree_with_the_table(tmp_path: Path):
    write_run(tmp_path)
    rows = collect(tmp_path)
    means = layer_means(rows)
    (table,) = layer_tables(rows)
    assert means[1]["test/r/mean"] == pytest.approx(table.cells[1, "it"].mean)
    assert means[1]["test/r/tt_y"] == pytest.approx(np.mean([score(1, "it", s, "tt_y") for s in SPEAKERS]))
    assert means[1]["test/rmse/mean"] == 1.5 and "test/ccc/mean" not in means[1]


def edit(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    result = json.loads(path.read_text())
    change(result)
    path.write_text(json.dumps(result))


BROKEN: dict[str, Callable[[Path], Any]] = {
    "cut": lambda path: path.write_text(path.read_text()[:300]),
    "no scores": lambda path: path.write_text('{"identity": {}, "settings": {}, "scores": []}'),
    "rows lack fields": lambda path: path.write_text('{"identity": {}, "settings": {}, "scores": [{"layer": 1}]}'),
    "a list": lambda path: path.write_text("[1]"),
    "identity lacks": lambda path: edit(path, lambda result: result["identity"].pop("corpora")),
    "r is text": lambda path: edit(path, lambda result: result["scores"][3].update(r="=cmd()")),
    "layer is text": lambda path: edit(path, lambda result: result["scores"][3].update(layer="one")),
    "r is 7": lambda path: edit(path, lambda result: result["scores"][3].update(r=7)),
    "r is NaN": lambda path: edit(path, lambda result: result["scores"][3].update(r=float("nan"))),
    "rmse is infinite": lambda path: path.write_text(path.read_text().replace('"rmse": 1.5', '"rmse": 1e999', 1)),
    "rmse is negative": lambda path: edit(path, lambda result: result["scores"][3].update(rmse=-1)),
    "ccc is 10^400": lambda path: edit(path, lambda result: result["scores"][3].update(ccc=10**400)),
    "r2 is above 1": lambda path: edit(path, lambda result: result["scores"][3].update(r2=1.1)),
    "frames are 10^400": lambda path: edit(path, lambda result: result["scores"][3].update(n_frames=10**400)),
    "no frames": lambda path: edit(path, lambda result: result["scores"][3].update(n_frames=0)),
    "layer is 10^400": lambda path: edit(path, lambda result: result["scores"][3].update(layer=10**400)),
    "a deviation is negative": lambda path: edit(path, lambda result: result["scores"][3].update(sd_measured=-1)),
    "a row twice": lambda path: edit(path, lambda result: result["scores"].append(result["scores"][3])),
    "a speaker is half a character": lambda path: edit(
        path, lambda result: result["scores"][3].update(speaker="\ud800")
    ),
    "differences are a list": lambda path: edit(path, lambda result: result["identity"].update(differences=[1])),
    "a difference is NaN": lambda path: edit(path, lambda r: r["identity"].update(differences={"a": float("nan")})),
    "model is a list": lambda path: edit(path, lambda result: result["identity"].update(model=["mel"])),
    "seed is 10^400": lambda path: edit(path, lambda result: result["identity"].update(seed=10**400)),
    "held out is a list": lambda path: edit(path, lambda result: result["identity"].update(held_out=[])),
    "encoder is half a character": lambda path: edit(path, lambda r: r["identity"].update(encoder={"\ud800": 1})),
    "own frames are a number": lambda path: edit(path, lambda result: result.update(scaled_by_own_test_frames=1)),
    "speaker is a list": lambda path: edit(path, lambda result: result["scores"][3].update(speaker=["a"])),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_result_is_named(tmp_path: Path, case: str):
    BROKEN[case](write_run(tmp_path) / "result.json")
    with pytest.raises(RunError, match=r"s0/result\.json") as error:
        collect(tmp_path)
    assert "\n" not in str(error.value) and str(error.value).isprintable()


def test_a_layer_may_be_called_by_the_features_that_it_stands_for(tmp_path: Path):
    """Heads that read features alone have their name for a layer, if the identity says that there is such an input."""
    file = write_run(tmp_path) / "result.json"
    edit(
        file,
        lambda result: result.update(scores=[row | {"layer": "f0"} for row in result["scores"] if row["layer"] == 1]),
    )
    with pytest.raises(RunError, match="is not a row"):
        collect(tmp_path)
    edit(file, lambda result: result["identity"].update(inputs={"f0": {"layers": [], "features": ["f0"]}}))
    assert {row["layer"] for row in collect(tmp_path)} == {"f0"}
    assert layer_tables(collect(tmp_path))[0].layers == ["f0"]


def test_a_number_that_cannot_be_is_named(tmp_path: Path):
    edit(write_run(tmp_path) / "result.json", lambda result: result["scores"][3].update(r=7))
    with pytest.raises(
        RunError, match=r"scores\[3\] is not a row of scores: r=7 is out of range; remove the file and run"
    ):
        collect(tmp_path)


def test_estimates_print_as_papers_do():
    estimate = mean_over_speakers({("it", str(n)): 0.5 + 0.01 * n for n in range(5)})
    assert str(estimate) == ".520 [.500, .540]"


def test_runs_that_learned_from_more_or_less_share_a_picture(tmp_path: Path):
    for number, minutes in enumerate((0.5, 2, None)):
        differences = {"patience": 3} | ({} if minutes is None else {"split.train_min": minutes})
        folder = write_run(tmp_path, suffix=f"-{number}")
        result = json.loads((folder / "result.json").read_text())
        result["identity"]["differences"] = differences
        (folder / "result.json").write_text(json.dumps(result))
    tables = layer_tables(collect(tmp_path))
    assert {table.train_min for table in tables} == {0.5, 2, None} and len({table.family for table in tables}) == 1
    names = [path.name for path in write_pictures(tables, tmp_path / "pictures")]
    assert [name for name in names if name.startswith("minutes")] == [
        "minutes-mel-ridge-r-by-held-out-language-patience-3.png"
    ]


def test_heads_are_compared_within_speakers_where_both_were_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """The perceptron gains .1, .2 and .3 over ridge for the three speakers, in the one language that both have."""
    for head, held_out in (("ridge", "it"), ("ridge", "en"), ("mlp", "it")):
        folder = write_run(tmp_path, held_out=held_out, suffix=f"-{head}")
        result = json.loads((folder / "result.json").read_text())
        result["identity"] |= {"head": head, "differences": {"optimizer.lr": 0.1} if head == "mlp" else {}}
        for row in result["scores"]:
            row["r"] = 0.3 + (0.1 * (1 + SPEAKERS.index(row["speaker"])) if head == "mlp" else 0)
        (folder / "result.json").write_text(json.dumps(result))
    found = differences(collect(tmp_path), "ridge")
    assert [(one.head, one.layer, one.held_out, one.difference.n) for one in found] == [
        ("mlp", layer, ("it",), 3) for layer in (0, 1)
    ]
    assert found[0].difference.mean == pytest.approx(0.2) and found[0].r.mean == pytest.approx(0.5)
    half = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert (found[0].difference.low, found[0].difference.high) == (pytest.approx(0.2 - half), pytest.approx(0.2 + half))
    assert main(["table", str(tmp_path), "--against", "ridge"]) == 0
    assert ".200 [-.048, .448]" in capsys.readouterr().out
    assert main(["table", str(tmp_path), "--against", "gru"]) == 1
    assert capsys.readouterr().err == "tractprobe: --against gru: these runs have no such head; there are mlp, ridge\n"


def of_head(runs: Path, head: str, change: Callable[[dict[str, Any]], Any], seed: int = 0, **settings: Any) -> None:
    """Write a run of a head, under settings of its own."""
    suffix = "".join(f"-{head}{value}" for value in ("", *settings.values()))
    path = write_run(runs, seed=seed, suffix=suffix) / "result.json"
    edit(path, lambda result: result["identity"].update(head=head, differences=settings))
    edit(path, lambda result: [change(row) for row in result["scores"]])


def test_a_difference_is_over_the_channels_that_both_heads_have_and_seeds_are_averaged_first(tmp_path: Path):
    """Against numpy: ridge, run once, has no r for one channel of one speaker; the perceptron, run twice, has."""
    random = np.random.default_rng(3)
    r = {name: random.uniform(0.2, 0.9, (3, len(CHANNELS))) for name in ("ridge", "mlp0", "mlp1")}
    r["ridge"][1, 4] = np.nan
    r["mlp1"][2, 7] = np.nan  # one of two seeds

    def take(name: str) -> Callable[[dict[str, Any]], Any]:
        def change(row: dict[str, Any]) -> None:
            value = float(r[name][SPEAKERS.index(row["speaker"]), CHANNELS.index(row["channel"])])
            row["r"] = None if np.isnan(value) else value

        return change

    of_head(tmp_path, "ridge", take("ridge"))
    for seed in (0, 1):
        of_head(tmp_path, "mlp", take(f"mlp{seed}"), seed=seed)
    mlp = np.nanmean([r["mlp0"], r["mlp1"]], axis=0)
    expected = np.nanmean(mlp - r["ridge"], axis=1)
    found = differences(collect(tmp_path), "ridge")[0]
    assert found.difference.mean == pytest.approx(expected.mean()) and found.difference.n == 3
    assert found.r.mean - found.baseline.mean == pytest.approx(found.difference.mean)
    interval = stats.ttest_1samp(expected, 0).confidence_interval()
    assert (found.difference.low, found.difference.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


def test_a_head_is_set_against_the_baseline_of_its_own_settings(tmp_path: Path):
    """A learning rate that both were given is not compared with the shipped one."""
    of_head(tmp_path, "mlp", lambda row: row.update(r=0.1))
    of_head(tmp_path, "mlp", lambda row: row.update(r=0.4), **{"optimizer.lr": 0.1})
    of_head(tmp_path, "gru", lambda row: row.update(r=0.5), **{"optimizer.lr": 0.1})
    found = differences(collect(tmp_path), "mlp")
    assert [(one.head, round(one.difference.mean, 6)) for one in found] == [("gru", 0.1)] * 2


@pytest.mark.parametrize("option", ["--csv", "--pictures"])
def test_a_folder_in_a_files_place_or_a_file_in_a_folders_is_one_line(
    tmp_path: Path, option: str, capsys: pytest.CaptureFixture[str]
):
    write_run(tmp_path / "runs")
    (tmp_path / "--pictures").touch()
    (tmp_path / "--csv").mkdir()
    assert main(["table", str(tmp_path / "runs"), option, str(tmp_path / option)]) == 1
    assert capsys.readouterr().err.startswith(f"tractprobe: {tmp_path}/")


@pytest.mark.parametrize(
    "place", ["mel/all/ridge/it/s0.old", "mel/all/ridge/it/s0_lowpass2", "archive/mel/ridge/it/s0"]
)
def test_runs_are_told_apart_by_their_identity_and_not_by_their_directory(
    tmp_path: Path, place: str, caplog: pytest.LogCaptureFixture
):
    """A copy counts once; another result under the same identity and seed is refused; other settings make a table."""
    write_run(tmp_path)
    other = tmp_path / place
    shutil.copytree(tmp_path / "mel/all/ridge/it/s0", other)
    edit(other / "result.json", lambda result: result["scores"][0].update(r=result["scores"][0]["r"] + 1e-9))
    (table,) = layer_tables(collect(tmp_path))
    assert len(table.means[0, "it"].rows) == 36
    (warning,) = caplog.messages
    assert str(other) in warning and "which is counted once" in warning

    edit(other / "result.json", lambda result: result["scores"][0].update(r=0.9))
    with pytest.raises(RunError, match="are two results of one run") as error:
        collect(tmp_path)
    assert str(other) in str(error.value) and str(tmp_path / "mel/all/ridge/it/s0") in str(error.value)

    edit(other / "result.json", lambda result: result["identity"].update(differences={"ema.cutoff_hz": 2}))
    first, second = layer_tables(collect(tmp_path))
    assert "ema.cutoff_hz=2" in second.title and first.cells[0, "it"] != second.cells[0, "it"]


def test_a_speaker_that_is_held_out_under_two_names_counts_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    """A speaker may be named with its corpus or without; folds of sentences may test one speaker and are others."""
    for held_out, folder in (("a", "a"), ("c/a", "c-a"), ("c/b", "c-b")):
        own = write_run(tmp_path, held_out=folder)
        edit(own / "result.json", lambda result, held_out=held_out: result["identity"].update(held_out=held_out))
        edit(own / "result.json", lambda result: result["identity"].update(split="speaker"))
        speaker = f"c/{held_out[-1]}"
        edit(own / "result.json", lambda result, speaker=speaker: only(result, speaker))
    (table,) = layer_tables(collect(tmp_path))
    assert table.columns == ("a", "c/b", "mean") and len(table.means[0, "mean"].rows) == 24
    (warning,) = caplog.messages
    assert "/a/s0 (held_out=a)" in warning and "/c-a/s0 (held_out=c/a) is the same run" in warning

    edit(tmp_path / "mel/all/ridge/c-a/s0/result.json", lambda result: result["scores"][0].update(r=0.9))
    with pytest.raises(RunError, match=r"/a/s0 \(held_out=a\) and .*\(held_out=c/a\) are two results of one run"):
        collect(tmp_path)
    for path in tmp_path.rglob("result.json"):
        edit(path, lambda result: result["identity"].update(split="sentence"))
    (table,) = layer_tables(collect(tmp_path))
    assert table.columns == ("a", "c/a", "c/b", "pooled")


def only(result: dict[str, Any], speaker: str) -> None:
    """Leave a speaker's rows, in one language."""
    result["scores"] = [row | {"language": "it"} for row in result["scores"] if row["speaker"] == speaker]


def test_a_copy_that_lacks_rows_is_refused(tmp_path: Path):
    write_run(tmp_path)
    other = tmp_path / "s0.old"
    shutil.copytree(tmp_path / "mel/all/ridge/it/s0", other)
    edit(other / "result.json", lambda result: only(result, "c/a"))
    with pytest.raises(RunError, match="are two results of one run"):
        collect(tmp_path)


def test_a_renamed_directory_stays_with_the_runs_of_its_settings(tmp_path: Path):
    for held_out, name in (("it", "s0-abcdef"), ("en", "my best one")):
        folder = write_run(tmp_path, held_out=held_out, differences={"ema.cutoff_hz": 2})
        folder.rename(folder.with_name(name))
    (table,) = layer_tables(collect(tmp_path))
    assert table.columns == ("en", "it", "mean")


def test_results_of_an_early_version_that_only_their_directory_tells_apart_are_kept_apart(tmp_path: Path):
    for suffix in ("", "-abcdef"):
        edit(write_run(tmp_path, suffix=suffix) / "result.json", lambda result: result["identity"].pop("differences"))
    edit(tmp_path / "mel/all/ridge/it/s0-abcdef/result.json", lambda result: result["scores"][0].update(r=0.9))
    assert [table.title.partition(" (")[2] for table in layer_tables(collect(tmp_path))] == [
        "", "settings abcdef), n speakers"
    ]  # fmt: skip


def test_heads_of_all_layers_at_once_and_of_one_are_not_averaged(tmp_path: Path):
    for layer, r in (("all", 0.2), (1, 0.6)):
        folder = write_run(tmp_path, suffix=f"-{layer}")
        edit(folder / "result.json", lambda result, layer=layer: result["identity"].update(layer=layer))
        edit(folder / "result.json", lambda result, r=r: [row.update(r=r) for row in result["scores"]])
    every, one = sorted(layer_tables(collect(tmp_path)), key=lambda table: table.title)
    assert "all layers in one run" in every.title and every.cells[1, "it"].mean == pytest.approx(0.2)
    assert "layers in runs of their own" in one.title and one.cells[1, "it"].mean == pytest.approx(0.6)


ESCAPE = "\x1b[2J\x1b]0;owned\x07"


def test_labels_of_others_move_no_cursor_and_forge_no_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for head in ("ridge", "mlp"):
        folder = write_run(tmp_path, suffix=f"-{head}", differences={f"a{ESCAPE}": f"b\n0  .999{ESCAPE}"})
        edit(
            folder / "result.json",
            lambda result, head=head: result["identity"].update(
                model=f"mel{ESCAPE}", held_out=f"it\nmean{ESCAPE}", head=head
            ),
        )
        edit(folder / "result.json", lambda result: [row.update(speaker=f"a{ESCAPE}") for row in result["scores"][:12]])
        edit(folder / "result.json", lambda result: result.update(scaled_by_own_test_frames=[f"a{ESCAPE}"]))
    (folder / f"s1{ESCAPE}").mkdir()
    (folder / f"s1{ESCAPE}/failure.json").write_text(json.dumps({"reason": ESCAPE, "time": ESCAPE, "host": ESCAPE}))
    for command in (["table", "--against", "ridge", "--pictures", str(tmp_path / "pictures")], ["status"]):
        assert main([*command, str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert all(line.isprintable() for line in printed.split("\n")) and "\n0  .999" not in printed
        assert "\\x1b[2J" in printed


def test_minutes_that_are_no_number_are_no_minutes(tmp_path: Path):
    for number, minutes in enumerate(("=1", [1], -2, 0.5)):
        write_run(tmp_path, suffix=f"-{number}", differences={"split.train_min": minutes})
    tables = layer_tables(collect(tmp_path))
    assert sorted((table.train_min or 0) for table in tables) == [0, 0, 0, 0.5]
    assert len(write_pictures(tables, tmp_path / "pictures")) == 2


def test_a_csv_holds_no_formulas_and_may_begin_with_a_mark_for_spreadsheets(tmp_path: Path):
    folder = write_run(tmp_path / "runs")
    edit(folder / "result.json", lambda result: [row.update(speaker="=cmd()") for row in result["scores"][:12]])
    for options, start in (([], b"run,"), (["--bom"], b"\xef\xbb\xbfrun,")):
        assert main(["table", str(tmp_path / "runs"), "--csv", str(tmp_path / "scores.csv"), *options]) == 0
        assert (tmp_path / "scores.csv").read_bytes().startswith(start)
        with open(tmp_path / "scores.csv", encoding="utf-8-sig", newline="") as file:
            speakers = {row["speaker"] for row in csv.DictReader(file)}
        assert speakers == {"'=cmd()", *SPEAKERS}


def test_a_mark_for_spreadsheets_without_a_csv_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_run(tmp_path)
    assert main(["table", str(tmp_path), "--bom"]) == 1
    assert capsys.readouterr().err == "tractprobe: --bom is how a CSV begins: give --csv FILE, too\n"
