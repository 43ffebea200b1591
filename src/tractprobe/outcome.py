"""Outcome: what a scored cell leaves in its run directory, and whether what lies there is what is asked for."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tractprobe.encoders.layers import Label
from tractprobe.evidence.table import layer_means
from tractprobe.runs.building import build
from tractprobe.runs.identity import changes
from tractprobe.runs.result import HEADS, Row, chosen_layer, read_result
from tractprobe.runs.settings import Plain
from tractprobe.system.errors import RunError
from tractprobe.system.files import file_sha256

if TYPE_CHECKING:
    from tractprobe.probes.fitted import Cell

log = logging.getLogger(__name__)


def concluded(cell: "Cell", timing_s: dict[str, float], fit: Plain, rows: list[Row], logger: Any) -> Plain:
    """Write the heads of a scored cell, log all that there is to see, and return its result."""
    cell.save_heads(cell.folder / HEADS)
    result = _result(cell, timing_s, fit, rows)
    if logger is not None:
        from tractprobe.runs.tracking import log_heads, log_pictures, log_scores

        chosen = chosen_layer(result)
        log_scores(logger, rows, layer_means(rows), chosen)
        log_pictures(logger, _draw_examples(cell, cell.plan.labels[-1] if chosen is None else chosen))
        log_heads(logger, cell.folder / HEADS, result["identity"])
    return result


def _draw_examples(cell: "Cell", layer: Label) -> list[Path]:
    """Draw the predictions of one layer over the measured courses, for always the same few test utterances."""
    from tractprobe.evidence.figures import prediction_curves, write_picture

    names = [channel.name for channel in cell.targets.channels]
    pictures = []
    for number, id_ in enumerate(cell.examples(build(cell.plan.settings["tracking"]).examples)):
        figure = prediction_curves(*cell.predicted(id_, layer), names, f"{id_}, layer {layer}")
        pictures.append(write_picture(cell.folder / "predictions" / f"example-{number}.png", figure))
    return pictures


def _result(cell: "Cell", timing_s: dict[str, float], fit: Plain, rows: list[Row]) -> Plain:
    split = cell.plan.split
    return {
        "identity": cell.plan.identity,
        "settings": cell.plan.settings,
        "timing_s": timing_s,
        "fit": fit,
        "utterances": {name: len(getattr(split, name)) for name in ("development", "train", "validation", "test")},
        "scaled_by_own_test_frames": cell.own_scale(),
        "scales": cell.scales(),
        "source_origins": cell.source_origins(),
        "model_files": _model_files(cell.plan.settings),
        "scores": rows,
    }


def _model_files(settings: Plain) -> dict[str, str]:
    """Return the hashes of a local model's files, by which a finished run knows that its encoder is the one of now."""
    folder = Path(settings["model"].get("name") or "/none")
    paths = [path for suffix in ("*.safetensors", "*.json") for path in folder.glob(suffix)] if folder.is_dir() else []
    return {path.name: file_sha256(path) for path in sorted(paths)}


def finished(folder: Path, settings: Plain) -> Plain:
    """Return the result of a finished run, having made sure that it is of these settings and of the corpora of now."""
    from tractprobe.corpora.prepared.corpus import PreparedCorpus

    result = read_result(folder)
    if changed := changes(result["settings"], settings):
        raise RunError(
            f"{folder} was finished with other settings: {'; '.join(changed)}. Remove it to run again, or give this "
            "run a place of its own with model.label=<name> or paths.runs=<folder>"
        )
    if result.get("model_files", {}) != (now := _model_files(settings)):
        raise RunError(
            f"{folder} was finished with other files of {settings['model'].get('name')} than there are now "
            f"({', '.join(now) or 'none'}); remove it to run again, or give this run a place of its own with "
            "model.label=<name> or paths.runs=<folder>"
        )
    for name, content_hash in result["identity"]["corpora"].items():
        corpus = Path(settings["paths"]["data"], name)
        if corpus.is_dir() and PreparedCorpus(corpus).content_hash != content_hash:
            raise RunError(
                f"{folder} was finished on another version of corpus {name}; remove it to run again, or keep it and "
                "give paths.runs=<another folder>"
            )
    log.info("finished already: %s", folder)
    return result
