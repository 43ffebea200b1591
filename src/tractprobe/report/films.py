"""A few utterances moving: measured, and as heads of the best encoder read them in a language that they never heard.

Everything is read from the caches of an analysis: nothing is encoded. Which encoder is the best is told by the record
of layer curves; for a picture that is enough, and the section says so.
"""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tractprobe.evidence.bench import Bench, Prediction, chosen_layer
from tractprobe.evidence.record import Record
from tractprobe.inversion.film import MAX_SHOWN_S, Film
from tractprobe.inversion.player import player
from tractprobe.report.blocks import Block, Text
from tractprobe.report.blocks import Film as FilmBlock
from tractprobe.report.collect import Group, subject_of
from tractprobe.report.numbers import number
from tractprobe.runs.settings import Settings
from tractprobe.signals.channels import CHANNELS
from tractprobe.signals.track import Track
from tractprobe.system.errors import RunError, TractprobeError, first_line
from tractprobe.system.printable import one_line

if TYPE_CHECKING:
    from tractprobe.probes.fitted import Fitted

_SHOWN, _LONGEST_S = 3, 12.0
_CURVES, _R = "curves", "r_language"
log = logging.getLogger(__name__)


def films_of(group: Group, most: int = _SHOWN) -> list[Block]:
    """Return a few utterances as players; where corpora or caches are not there, a line that says so."""
    try:
        record = best_of(group)
        bench = bench_of(record)
        language, fitted = held_out(bench)
        films = [film_block(bench, fitted, each) for each in examples(bench, fitted, most)]
    except TractprobeError as error:
        return [Text(f"No utterance is shown: {first_line(error)}.")]
    except Exception as error:  # a report without films is better than none
        log.warning("films: %s; the rest continues", first_line(error))
        return [Text(f"No utterance is shown: {first_line(error)}.")]
    says = (
        f"Filled: measured. Open: what ridge heads read from {subject_of(record).label}, layer {chosen_layer(fitted)}, "
        f"the encoder with the highest r in unheard languages here. The heads never heard {language}, the language of "
        "these utterances; layer and penalty were chosen by validation. Utterances are the first of each speaker, not "
        "the best."
    )
    return [Text(says), *films]


def best_of(group: Group) -> Record:
    """Return the record of layer curves with the highest r in unheard languages."""
    found = [(finding.value, record) for record in group.of(_CURVES)
             if (finding := record.evidence.finding(_R)) is not None and finding.value is not None]  # fmt: skip
    if not found:
        raise RunError("there is no record of layer curves, which tells the best encoder; study=curves makes it")
    return max(found, key=lambda each: each[0])[1]


def bench_of(record: Record) -> Bench:
    """Return the bench of a record, on the same corpora; RunError if these have changed since."""
    bench = Bench(Settings.of({key: value for key, value in record.settings.items() if key != "analysis"}))
    present = {corpus.name: corpus.content_hash for corpus in bench.all_corpora}
    if present != record.identity["corpora"]:
        changed = sorted(name for name in present if present[name] != record.identity["corpora"].get(name))
        raise RunError(one_line(f"{', '.join(changed)} was prepared anew since {record.folder} was made"))
    return bench


def held_out(bench: Bench) -> "tuple[str, Fitted]":
    """Return the first language, and heads that never heard it."""
    splits = bench.splits("language")
    language = next(iter(splits))
    others = [split for name, split in splits.items() if name != language]
    (fitted,) = bench.fit([splits[language]], kept_apart=others)
    return language, fitted


def examples(bench: Bench, fitted: "Fitted", most: int) -> Sequence[str]:
    """Return the first test utterance of each speaker, by their names."""
    first: dict[str, str] = {}
    for id_ in sorted(fitted.problem.split.test):
        if bench.entries[id_].duration_s <= min(_LONGEST_S, MAX_SHOWN_S):
            first.setdefault(bench.entries[id_].speaker, id_)
    if not first:
        raise RunError(f"no test utterance is shorter than {_LONGEST_S:g} s")
    return list(first.values())[:most]


def film_block(bench: Bench, fitted: "Fitted", id_: str) -> FilmBlock:
    """Return an utterance, measured over predicted, as our player's page."""
    film, prediction = film_of(bench, fitted, id_)
    entry, corpus = prediction.entry, bench.corpus_of(prediction.entry)
    utterance = corpus.utterance(id_)
    text = f", “{utterance.text}”" if utterance.text else ""
    about = f"{entry.speaker} ({entry.language}); r = {number(r_of(prediction))}, mean over channels of this recording."
    page = player(film, utterance.audio, f"{id_}{text}", about, utterance.phones)
    return FilmBlock(one_line(f"{id_}, measured over predicted"), page)


def film_of(bench: Bench, fitted: "Fitted", id_: str) -> tuple[Film, Prediction]:
    """Return an utterance, measured over predicted by the heads that validation chose."""
    (prediction,) = bench.predictions(fitted, [id_], [chosen_layer(fitted)])
    corpus = bench.corpus_of(prediction.entry)
    utterance = corpus.utterance(id_)
    names = tuple(channel.name for channel in fitted.problem.targets.channels)
    columns = [place for place, name in enumerate(names) if name in CHANNELS]
    if not columns:
        raise RunError("the targets hold no positions of articulators")
    rate_hz = 1 / float(np.median(np.diff(prediction.times_s)))
    values = prediction.predicted[0][:, columns].astype(float)
    predicted = Track(values, rate_hz, float(prediction.times_s[0]), tuple(names[column] for column in columns))
    return Film.of(utterance.measured, palate=corpus.palates.get(utterance.speaker), predicted=predicted), prediction


def r_of(prediction: Prediction) -> float | None:
    """Return the mean of r over channels; ``None`` where none is defined."""
    predicted, measured = prediction.predicted[0], prediction.measured
    each = []
    for x, y in zip(predicted.T, measured.T, strict=True):
        there = np.isfinite(x) & np.isfinite(y)
        if there.sum() > 2 and np.std(x[there]) > 0 and np.std(y[there]) > 0:
            each.append(float(np.corrcoef(x[there], y[there])[0, 1]))
    return sum(each) / len(each) if each else None
