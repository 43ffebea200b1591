"""Which utterances describe a speaker or a corpus: speech, so that nothing changes where babble (zxx) is added."""

from collections.abc import Iterable, Sequence

from tractprobe.corpora.languages import is_language
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.corpora.prepared.manifest import Entry


def speech_of(entries: Iterable[Entry]) -> list[Entry]:
    """Return the utterances that are of a language; all of them if none is."""
    every = list(entries)
    return [entry for entry in every if is_language(entry.language)] or every


def of_speaker(corpus: PreparedCorpus, speaker: str) -> list[Entry]:
    """Return the utterances that a speaker is described by: babble only if there is no speech."""
    return speech_of(entry for entry in corpus.entries if entry.speaker == speaker)


def session(corpus: PreparedCorpus, entry: Entry) -> Sequence[Entry]:
    """Return the speaker's utterances among which one is, sorted by id: all speech, or all babble."""
    own = (
        each
        for each in corpus.entries
        if each.speaker == entry.speaker and is_language(each.language) == is_language(entry.language)
    )
    return sorted(own, key=lambda each: each.id)
