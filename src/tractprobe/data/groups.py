"""What frames are pooled over in scores."""

from typing import NamedTuple

from tractprobe.corpora.prepared.manifest import Entry


class GroupKey(NamedTuple):
    """A speaker in one language of one corpus."""

    corpus: str
    language: str
    speaker: str

    @classmethod
    def of(cls, entry: Entry) -> "GroupKey":
        """Return the group that an utterance's frames are scored in."""
        return cls(entry.corpus, entry.language, entry.speaker)
