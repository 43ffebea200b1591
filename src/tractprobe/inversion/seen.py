"""Was an utterance in a head's training data? As far as the head file tells.

A head file holds the content hashes of its corpora, how they were split and what was held out, but no list of
utterances. Where the corpora are at hand, unchanged, their split is drawn again; otherwise what was held out decides.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from omegaconf import OmegaConf

from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry
from tractprobe.data.axes import JOINED, OF_EVERY_UTTERANCE, aliases
from tractprobe.data.splits import SplitRule
from tractprobe.inversion.head_header import HeadCard
from tractprobe.runs.configuration import conf_dir
from tractprobe.system.errors import TractprobeError
from tractprobe.system.printable import one_line

_MAX_FOLDS = 1000


def seen(card: HeadCard, corpus: PreparedCorpus, entry: Entry) -> str:
    """Return the answer as a sentence; it says so where the head file does not tell."""
    fitted_on, by, held_out = card["corpora"], card["run"].get("split"), card["run"]["held_out"]
    others = one_line(", ".join(map(str, fitted_on)))
    if fitted_on.get(corpus.name) != corpus.content_hash:
        if corpus.name in fitted_on or corpus.content_hash in fitted_on.values():
            return f"Whether it was in the head's training data is not known: {corpus.name} was prepared anew since."
        return f"It was not in the head's training data, which is of other corpora ({others})."
    if entry.speaker not in card["speakers"]:
        return f"It was not in the head's training data: the head has not learned from {entry.speaker}."
    part = _part(card, corpus, entry)
    rule = one_line(f"held out: {by} {held_out}")
    if part is not None:
        return f"{_ANSWERS[part]} ({rule})."
    if by in OF_EVERY_UTTERANCE:
        if set(str(held_out).split(JOINED)) & set(aliases(entry, by)):
            return f"It was not in the head's training data ({rule})."
        return f"It was in the head's training data ({rule}), unless its sentence also occurs in the test."
    return "Whether it was in the head's training data is not known."


_ANSWERS = {
    "development": "It was in the head's training data",
    "test": "It was not in the head's training data but in its test",
    "neither": "It was neither in the head's training data nor in its test",
}


def _part(card: HeadCard, corpus: PreparedCorpus, entry: Entry) -> str | None:
    """Return where the head's split puts an utterance; ``None`` if it cannot be drawn again."""
    rule, entries = _rule(card), _entries(card, corpus)
    held_out, seed = card["run"]["held_out"], card["run"].get("seed")
    if rule is None or entries is None or not isinstance(held_out, str) or type(seed) is not int:
        return None
    try:
        split = rule(entries, held_out, seed)
    except TractprobeError:
        return None
    return "development" if entry.id in split.development else "test" if entry.id in split.test else "neither"


def _rule(card: HeadCard) -> SplitRule | None:
    """Return the head's rule: the shipped one with what its run changed; ``None`` if that is nothing we know."""
    by, differences = card["run"].get("split"), card["run"].get("differences")
    if not isinstance(by, str) or not isinstance(differences, dict):
        return None
    own = {key.removeprefix("split."): value for key, value in differences.items() if key.startswith("split.")}
    option = "language" if "by" in own or by not in (*OF_EVERY_UTTERANCE, "sentence") else by  # what own differs from
    shipped: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "split" / f"{option}.yaml"))
    settings: dict[str, Any] = {key: value for key, value in shipped.items() if key != "_target_"}
    settings |= {"by": by, "unlabelled": "error"}
    numbers = {key: value for key, value in own.items() if key not in ("by", "unlabelled")}
    if not set(own) <= set(settings) or own.get("by", by) != by or not all(map(_is_plausible, numbers.values())):
        return None
    try:
        return replace(SplitRule(**settings), **own)
    except (TractprobeError, TypeError):
        return None


def _is_plausible(value: Any) -> bool:
    """Return whether a value is one that a split can have; a head file may hold anything."""
    return value is None or (isinstance(value, (bool, int, float)) and abs(value) <= _MAX_FOLDS)


def _entries(card: HeadCard, corpus: PreparedCorpus) -> Sequence[Entry] | None:
    """Return the utterances of all corpora of a head, if they are prepared beside this one and unchanged."""
    entries: list[Entry] = []
    for name, content_hash in card["corpora"].items():
        if name == corpus.name:
            entries += corpus.entries
            continue
        if "/" in name or name in ("", ".", ".."):
            return None
        try:
            other = PreparedCorpus(corpus.folder.resolve().parent / name)
            if other.content_hash != content_hash:
                return None
            entries += other.entries
        except TractprobeError:
            return None
    return entries
