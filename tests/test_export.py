"""From a finished run to a head file that gives the run's own numbers."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from head_files import RATE_HZ
from hydra import compose, initialize_config_dir
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_run import NARROW, NONLINEAR, SMALL

import tractprobe
from tractprobe.cli import main
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.data.groups import GroupKey
from tractprobe.data.targets import Targets
from tractprobe.evaluation import evaluate
from tractprobe.inversion.export import export
from tractprobe.inversion.head_file import read_head
from tractprobe.inversion.inverter import load_head
from tractprobe.jobs import train
from tractprobe.probes.gradient.score_sums import ScoreSums
from tractprobe.runs.configuration import conf_dir, plain
from tractprobe.runs.head_store import packed, read_checked
from tractprobe.runs.result import read_result
from tractprobe.runs.settings import Settings
from tractprobe.signals.channels import CHANNELS
from tractprobe.system.errors import HeadError, RunError
from tractprobe.system.files import file_sha256, write_json

Configure = Callable[..., Any]


def a_run(configure: Configure, *overrides: str) -> Path:
    """Train a cell and return its directory."""
    config = configure("held_out=it", *overrides)
    train(config)
    settings = Settings.of(plain(config))
    return settings.folder


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that is done once; tests copy it."""
    folder = tmp_path_factory.mktemp("finished")
    paths = [f"paths.data={data}", f"paths.runs={folder / 'runs'}", f"paths.cache={folder / 'cache'}"]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose(
            "train", overrides=[*paths, "corpora=[toy]", "tracking=off", "held_out=it", "model=mel", NARROW]
        )
    train(config)
    (path,) = folder.rglob("result.json")
    return path.parent


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


SEVERAL = {
    "spectrum, ridge": [NARROW],
    "spectrum, perceptron": [NARROW, *NONLINEAR],
    "best of layers": [*SMALL, "features.storage=float32"],
    "side by side": [*SMALL, "features.storage=float32", "layer=[0,2]"],
    "added up": [*SMALL, "features.storage=float32", "head=weighted", "head.head.hidden=16", "trainer.max_epochs=2"],
    "convolutions": [NARROW, "head=conv", "head.hidden=16", "trainer.max_epochs=2"],
    "both ways": [NARROW, "head=gru", "head.hidden=8", "trainer.max_epochs=2"],
}


@pytest.mark.parametrize("overrides", SEVERAL.values(), ids=SEVERAL)
def test_an_exported_head_gives_the_runs_own_numbers(configure: Configure, toy: PreparedCorpus, overrides: list[str]):
    """Audio in, mm out, compared with the targets: r, RMSE, R² and CCC of each speaker and channel are the run's."""
    run = a_run(configure, *overrides)
    inverter = tractprobe.load_head(export(run))
    result, layer = read_result(run), inverter.file.layer
    own = [row for row in result["scores"] if row["layer"] == layer]
    groups = sorted({GroupKey("toy", row["language"], row["speaker"]) for row in own})
    moments, targets = ScoreSums(1, len(groups), len(CHANNELS)), Targets()
    for entry in (entry for entry in toy.entries if entry.language == "it"):
        track = inverter.of_speaker(entry.speaker)(toy.audio(entry.id), RATE_HZ)
        target = torch.from_numpy(targets.at(toy, entry, track.times_s))[None]
        group = torch.tensor([groups.index(GroupKey.of(entry))])
        moments.update(torch.from_numpy(track.values)[None, None], target, target.isfinite(), group)
    rows = moments.take().rows([layer], groups, targets.channels)
    assert len(rows) == len(own) == 3 * 12
    for row, other in zip(rows, own, strict=True):
        numbers = sorted(name for name, value in other.items() if isinstance(value, float))
        assert len(numbers) == 8 and {**row, **dict.fromkeys(numbers)} == {**other, **dict.fromkeys(numbers)}
        assert [row[name] for name in numbers] == pytest.approx([other[name] for name in numbers], abs=1e-6, rel=1e-6)


def test_the_layer_is_the_best_by_validation_and_never_by_test(configure: Configure):
    run = a_run(configure, *SMALL)
    result = read_result(run)
    assert all(0 < r < 1 for r in result["fit"]["best_validation_r"])
    for best in range(3):
        result["fit"]["best_validation_r"] = [0.9 if layer == best else 0.1 for layer in range(3)]
        write_json(run / "result.json", result)
        path = export(run)
        assert path.name == f"head-layer{best}.safetensors" and read_head(path).layer == best
    assert read_head(export(run, layer=1, output=run / "one.safetensors")).layer == 1
    result["fit"]["best_validation_r"] = [None] * 3
    write_json(run / "result.json", result)
    with pytest.raises(RunError, match="no validation r to choose among layers 0, 1, 2; give --layer"):
        export(run)
    with pytest.raises(RunError, match="no layer 3; it has 0, 1, 2"):
        export(run, layer=3)


def test_a_run_with_one_alpha_has_a_layer_to_export(configure: Configure):
    """Its validation r is that of a run that could have chosen among several and chose this one."""
    runs = [a_run(configure, *SMALL, f"head.alphas={alphas}") for alphas in ("[100]", "[100,100]")]
    one, several = map(read_result, runs)
    assert several["fit"]["alpha"] == one["fit"]["alpha"] == [[100.0] * 12] * 3
    assert one["fit"]["best_validation_r"] == pytest.approx(several["fit"]["best_validation_r"], abs=1e-12)
    r = one["fit"]["best_validation_r"]
    assert read_head(export(runs[0])).layer == r.index(max(r))


def test_a_head_file_says_what_it_is(run: Path, toy: PreparedCorpus):
    file = read_head(export(run))
    assert [channel.name for channel in file.channels] == list(CHANNELS)
    assert {channel.unit for channel in file.channels} == {"mm"}
    about, result = file.about, read_result(run)
    assert about["corpora"] == {"toy": toy.content_hash} and about["storage"] == "float16"
    assert about["encoder"]["identity"] == result["identity"]["encoder"]
    assert about["frames"] == {"stride": 320, "first": 199.5, "field": 400, "rate_hz": 50.0, "of_samples_per_s": 16000}
    assert about["scores"] == result["scores"] and about["ema"]["lowpass_hz"] == 10.0
    r = np.mean([row["r"] for row in result["scores"]])
    assert about["means"]["ema"]["r"]["mean"] == pytest.approx(r) and about["means"]["ema"]["r"]["n"] == 3
    assert set(file.scales) == {"toy/s0", "toy/s1", "toy/s2"}
    # The held-out language is not in anybody's mean.
    targets, tracks = Targets(), []
    for entry in toy.entries:
        if entry.speaker == "toy/s1" and entry.language != "it":
            times_s = file.geometry.times_s(59)
            tracks.append(targets.at(toy, entry, times_s))
    np.testing.assert_allclose(file.scales["toy/s1"].mean, np.concatenate(tracks).mean(axis=0), atol=1e-6)


def test_mm_are_the_average_speakers_or_one_speakers(run: Path, toy: PreparedCorpus):
    path = export(run)
    wave = toy.audio(toy.entries[0].id)
    inverter = load_head(path)
    scales = inverter.file.scales
    means = [np.mean([getattr(scale, what) for scale in scales.values()], axis=0) for what in ("mean", "sd")]
    standardised = (inverter(wave, RATE_HZ).values - means[0]) / means[1]
    one = load_head(path, speaker="toy/s2")(wave, RATE_HZ).values
    np.testing.assert_allclose(one, standardised * scales["toy/s2"].sd + scales["toy/s2"].mean, atol=1e-9)
    with pytest.raises(HeadError, match="no speaker toy/s9; it has toy/s0, toy/s1, toy/s2"):
        inverter.of_speaker("toy/s9")


def test_statistics_of_test_frames_are_nobodys(configure: Configure):
    """Of a held-out speaker only test frames are known: it gives no mm to anybody."""
    settings = train(configure("split=speaker", "held_out=toy/s1", NARROW, "split.disjoint_text=false"))["settings"]
    (path,) = Path(settings["paths"]["runs"]).rglob("result.json")
    assert "toy/s1" in read_result(path.parent)["scales"]["speakers"]
    assert set(read_head(export(path.parent)).scales) == {"toy/s0", "toy/s2"}


def edit(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    result = read_result(run)
    change(result)
    write_json(run / "result.json", result)


FOREIGN_RUNS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no result": (lambda run: (run / "result.json").unlink(), "holds no result"),
    "no heads": (lambda run: (run / "head.safetensors").unlink(), r"head\.safetensors"),
    "an older run": (lambda run: edit(run, lambda result: result.pop("scales")), "means and scales; remove it"),
    "other channels": (lambda run: edit(run, lambda result: result["scales"]["channels"].pop()), "means and scales"),
    "another run's heads": (lambda run: edit(run, lambda r: r["identity"].update(seed=7)), "heads of another run"),
    "another encoder": (
        lambda run: edit(run, lambda result: result["settings"]["model"].update(bands=40)), "encoder has changed",
    ),
    "no storage": (lambda run: edit(run, lambda result: result["settings"].pop("features")), "not written by this"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOREIGN_RUNS)
def test_a_run_that_cannot_be_exported_is_named(run: Path, case: str):
    change, problem = FOREIGN_RUNS[case]
    change(run)
    with pytest.raises(RunError, match=problem) as raised:
        export(run)
    assert str(run) in str(raised.value)
    assert not list(run.glob("head-layer*"))


@pytest.mark.parametrize("prefix", ["", "run="])
def test_the_command_takes_a_run_as_it_is_written_elsewhere(run: Path, prefix: str, capsys: pytest.CaptureFixture[str]):
    assert main(["export", f"{prefix}{run}", "--layer", "0", "--output", str(run / "a/h.safetensors")]) == 0
    assert f"--head {run / 'a/h.safetensors'}" in capsys.readouterr().out
    assert main(["export", f"{prefix}{run}", "--layer", "1"]) == 1
    assert "has no layer 1; it has 0" in capsys.readouterr().err


def test_an_export_never_overwrites(run: Path):
    export(run)
    with pytest.raises(RunError, match="exists already"):
        export(run)


def test_the_heads_of_a_run_are_no_head_file_and_say_what_to_do(run: Path):
    with pytest.raises(HeadError, match="the heads of a run; `tractprobe export <run>`"):
        load_head(run / "head.safetensors")


def flip(path: Path, place: float, bit: int = 0) -> None:
    """Flip one bit of a file, at a part of its length."""
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("place", [0.0, 0.02, 0.3, 0.7, 0.9999])
def test_one_flipped_bit_of_a_runs_heads_is_noticed(configure: Configure, run: Path, place: float):
    recorded = read_result(run)["heads_sha256"]
    assert recorded == file_sha256(run / "head.safetensors")
    flip(run / "head.safetensors", place)
    with pytest.raises(RunError, match=r"head\.safetensors: not the heads of this run \(damaged"):
        export(run)
    with pytest.raises(RunError, match=r"head\.safetensors: not the heads of this run \(damaged"):
        evaluate(configure(f"run={run}", name="evaluate"))
    edit(run, lambda result: result.pop("heads_sha256"))  # their own checksum is left
    with pytest.raises(RunError, match=r"head\.safetensors: not the heads of this run \("):
        export(run)


def test_heads_of_another_run_of_the_same_identity_are_noticed(run: Path):
    path = run / "head.safetensors"
    _, card, _ = read_checked(path, None)
    weights = {name: value * 1.01 for name, value in load_file(path).items()}
    path.write_bytes(packed(weights, card))
    with pytest.raises(RunError, match="damaged or replaced: not the file whose checksum"):
        export(run)


def test_runs_without_checksums_stay_readable_and_say_so(
    configure: Configure, run: Path, caplog: pytest.LogCaptureFixture
):
    path = run / "head.safetensors"
    with safe_open(path, "pt") as file:
        card = file.metadata()["tractprobe"]
    save_file(load_file(path), path, {"tractprobe": card})
    edit(run, lambda result: [result.pop(name) for name in ("heads_sha256", "test_utterances")])
    caplog.set_level("INFO")
    assert evaluate(configure(f"run={run}", name="evaluate"))
    export(run)
    lines = [record.getMessage() for record in caplog.records if "without a checksum" in record.getMessage()]
    assert len(lines) == 2 and all(str(path) in line for line in lines)


def test_evaluation_that_is_not_the_record_is_an_error(configure: Configure, run: Path):
    evaluate(configure(f"run={run}", name="evaluate"))
    edit(run, lambda result: result["scores"][7].update(r=result["scores"][7]["r"] - 0.01))
    with pytest.raises(RunError, match=r"its heads do not score what its result\.json records: layer 0, toy, it, "):
        evaluate(configure(f"run={run}", name="evaluate"))
    edit(run, lambda result: result["scores"].pop(7))
    with pytest.raises(RunError, match="recorded is nothing"):
        evaluate(configure(f"run={run}", name="evaluate"))
    assert (run / "evaluations/own.json").is_file()


def test_what_was_tested_is_listed_beside_the_result(run: Path, toy: PreparedCorpus):
    about = read_result(run)["test_utterances"]
    file = run / about["file"]
    assert file.read_text().split() == sorted(entry.id for entry in toy.entries if entry.language == "it")
    assert file_sha256(file) == about["sha256"]
