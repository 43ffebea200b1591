"""Templates: how alike one head reads the phones of speakers, how alike these move, and what a shuffled head reads."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations

from tractprobe.data.phone_labels import phone_counts
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.mapped import Mapped
from tractprobe.evidence.methods.template import Pattern, PhoneStates, contrasts, likeness, phone_states
from tractprobe.evidence.methods.voices import Voice
from tractprobe.evidence.record import Column, Finding, Table
from tractprobe.evidence.statistics.findings import finding, undefined
from tractprobe.evidence.statistics.inference import differences
from tractprobe.runs.estimate import Scores

_READ_FROM = 2  # the first part whose sentences heads of the first rotation were not fitted on
_NAMES = ("template_consistency", "template_measured", "template_beyond_shuffled", "contrast_consistency",
          "contrast_measured", "contrast_beyond_shuffled")  # fmt: skip
_OVER = "heads and other speakers of each speaker, then speakers, languages"


@dataclass(frozen=True)
class Templates:
    """What evidence says about templates."""

    findings: tuple[Finding, ...]
    tables: tuple[Table, ...] = ()
    caveats: tuple[str, ...] = ()


def templates(
    bench: Bench, of: Mapped, voices: Sequence[Voice], parts: Mapping[str, int], least_tokens: int, least_phones: int
) -> Templates:
    """Return how alike heads of the first rotation read the phones of speakers whom they were not fitted to.

    Only sentences are read that the heads were not fitted to. Phones are compared across languages by their IPA symbol.
    """
    without = [corpus.name for corpus in bench.corpora if not phone_counts(corpus)]
    if len(without) == len(bench.corpora):
        return _nothing("the corpora have no phone labels")
    if not all(isinstance(layer, int) for layer in of.layers.values()):
        return _nothing("heads read several layers at once")
    layers = sorted({int(of.layers[voice, 0]) for voice in voices})
    speakers = {voice.speaker for voice in voices}
    ids = [id_ for id_, part in parts.items() if part >= _READ_FROM and bench.entries[id_].speaker in speakers]
    means = phone_states(bench, ids, layers, least_tokens)
    if len(means.measured) < 2:
        return _nothing(f"fewer than two speakers have phones with {least_tokens} tokens in these sentences")
    spoken = {speaker: _languages(bench, speaker) for speaker in means.measured}
    findings = [
        one
        for name, alike in (("template", partial(likeness, least=least_phones)), ("contrast", contrasts))
        for one in _findings(name, _scores(of, voices, means, spoken, alike))
    ]
    caveats = (f"No phone labels, so no part in templates: {', '.join(without)}.",) if without else ()
    return Templates(tuple(findings), (_counts(means),), caveats)


def _nothing(reason: str) -> Templates:
    says = f"likeness of phones that one head reads of two speakers: {reason}"
    return Templates(tuple(undefined(name, says, "r", _OVER) for name in _NAMES))


def _languages(bench: Bench, speaker: str) -> str:
    return "+".join(sorted({entry.language for entry in bench.entries.values() if entry.speaker == speaker}))


def _scores(
    of: Mapped,
    voices: Sequence[Voice],
    means: PhoneStates,
    spoken: Mapping[str, str],
    alike: Callable[[Pattern, Pattern], float | None],
) -> dict[str, Scores]:
    """Return each speaker's mean likeness to others, as heads of third speakers read it and as it was measured."""
    found: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in ("head", "shuffled", "measured")}

    def add(name: str, patterns: Mapping[str, Pattern]) -> None:
        for one, other in combinations(sorted(patterns), 2):
            if (value := alike(patterns[one], patterns[other])) is not None:
                found[name][one].append(value)
                found[name][other].append(value)

    add("measured", means.measured)
    for voice in voices:
        for name, head in of.heads[voice, 0].items():
            add(name, {speaker: means.read(head, speaker) for speaker in means.measured if speaker != voice.speaker})
    return {
        name: {(spoken[speaker], speaker): sum(values) / len(values) for speaker, values in by_speaker.items()}
        for name, by_speaker in found.items()
    }


def _findings(name: str, scores: Mapping[str, Scores]) -> list[Finding]:
    what, unit = {
        "template": ("r between the phone means", "r"),
        "contrast": ("cosine between the contrasts of minimal pairs", "cosine"),
    }[name]
    beyond = differences(scores["head"], scores["shuffled"])
    read = f"{what} that one head reads of two other speakers"
    minus = "minus the same of a head that was fitted to movements of other times"
    return [
        finding(f"{name}_consistency", read, scores["head"], unit, _OVER),
        finding(f"{name}_measured", f"{what} of two speakers as they moved", scores["measured"], unit, _OVER),
        finding(f"{name}_beyond_shuffled", f"{read}, {minus}", beyond, unit, _OVER),
    ]


def _counts(means: PhoneStates) -> Table:
    columns = (Column("speaker"), Column("phones", text="phones with enough tokens"))
    rows = tuple({"speaker": speaker, "phones": len(pattern)} for speaker, pattern in sorted(means.measured.items()))
    return Table("phones", "Phones whose means are compared", columns, rows)
