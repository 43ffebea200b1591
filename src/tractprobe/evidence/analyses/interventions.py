"""Interventions: whether a read-out moves when its articulator is moved, and nothing else is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from tractprobe.corpora.readers.interventions import InterventionSet
from tractprobe.evidence.bench import Bench
from tractprobe.evidence.methods.acoustics import matched
from tractprobe.evidence.methods.intervened import Reader, check_texts, known_speakers, spread
from tractprobe.evidence.methods.interventions_pictures import Pictures
from tractprobe.evidence.methods.interventions_report import Compared, counts_of
from tractprobe.evidence.methods.invariance import correlations
from tractprobe.evidence.record import DoesNotApply, Evidence
from tractprobe.system.errors import ConfigError

_OF_THE_PACKAGE = "builtin_interventions"  # the name of its folder


@dataclass(frozen=True)
class Interventions:
    """Whether a read-out moves when its articulator is moved in the production of speech, and nothing else is.

    Heads are fitted to all of the corpora, none of whose sentences is intervened in, and read base and changed waves.

    Attributes
    ----------
    root
        The folder of interventions (``corpora/readers/interventions.py`` has the format).
    mel
        Option of conf/model whose read-outs are acoustics'; one that ends in ``_matched`` takes the context and width
        of the encoder's layer 0. ``None``: no such control.
    random_seeds
        How many times the architecture's weights are drawn.
    random_pairs
        How many pairs these hear, as encoding is what costs; the encoder is compared with them on these.
    shift_s
        By how much the movements are shifted, within a speaker's session, that shuffled heads are fitted to; the second
        time by twice as much, and so on.
    shuffles
        How many times heads are fitted to such movements.
    margin_s
        Frames count that lie in the window in which production differs, or so close to it.
    margin
        The difference of gains that speakers needed are counted for.
    """

    root: str
    mel: str | None = "mel_matched"
    random_seeds: int = 2
    random_pairs: int = 120
    shift_s: float = 5.0
    margin_s: float = 0.05
    margin: float = 0.1
    shuffles: int = 2
    name: ClassVar[str] = "interventions"
    version: ClassVar[int] = 2
    files: ClassVar[tuple[str, ...]] = ("root",)

    def __post_init__(self):
        if (
            min(self.random_seeds, self.random_pairs - 1, self.shuffles - 2) < 0
            or not self.shift_s > 0
            or not 0 <= self.margin_s <= 1
            or not self.margin > 0
        ):
            expected = "random_seeds of 0 or more, shuffles of 2 or more, margin_s from 0 to 1"
            raise ConfigError(f"analysis: expected {expected}, and random_pairs, shift_s and margin above 0")

    def __call__(self, bench: Bench) -> Evidence:
        """Return how read-outs and states respond, with what they are compared with."""
        heard = self._read()
        check_texts(bench, heard)
        shifts_s = [self.shift_s * (draw + 1) for draw in range(self.shuffles)]
        own = Reader.of(bench.settings.id.model, bench, heard, shifts_s)
        mel, random = self._acoustics(bench, heard), self._twins(bench, heard, own)
        compared = Compared(own, mel, random, correlations(bench), self.margin_s, self.margin)
        pictures = Pictures(compared)
        return Evidence(
            tuple(compared.findings()),
            pictures.tables(),
            pictures.figures(),
            pictures.rows(),
            tuple(self._caveats(bench, heard, compared)),
        )

    @property
    def _folder(self) -> Path:
        return Path(self.root).expanduser()

    def _read(self) -> InterventionSet:
        """Return the interventions; a package without any leaves nothing to ask, a wrong path is an error."""
        if not self._folder.is_dir():
            missing = DoesNotApply if self._folder.name == _OF_THE_PACKAGE else ConfigError
            raise missing(
                f"there are no interventions at {self._folder}: `python -m vocaltract interventions <folder>` makes "
                "them; then give analysis.root=<folder>"
            )
        return InterventionSet.read(self._folder)

    def content(self) -> str | None:
        """Return the hash of the folder's content; ``None`` if there is no such folder any more."""
        return InterventionSet.read(self._folder).content_hash if self._folder.is_dir() else None

    def _acoustics(self, bench: Bench, heard: InterventionSet) -> Reader | str:
        if self.mel is None:
            return "no acoustics were asked for (analysis.mel=null)"
        option = bench.option(self.mel)
        option = matched(option, bench.encoder) if self.mel.endswith("_matched") else option
        other = bench.other(option)
        if other.encoder.identity == bench.encoder.identity:
            return "the encoder is that spectrum itself"
        return Reader.of("mel", other, heard)

    def _twins(self, bench: Bench, heard: InterventionSet, read: Reader) -> Sequence[Reader] | str:
        """Return readers of random draws of the architecture."""
        arguments = bench.settings.model.arguments
        own = arguments.get("random_seed", arguments.get("seed"))
        found = []
        for seed in [seed for seed in range(1, self.random_seeds + 2) if seed != own][: self.random_seeds]:
            twin = bench.twin(seed)
            if twin is None:
                return f"{bench.settings.id.model} has no weights that could be drawn"
            only = spread(read.courses, self.random_pairs)
            found.append(Reader.of(f"random weights, seed {seed}", twin, heard, only=only))
        return found or "no random weights were drawn (analysis.random_seeds=0)"

    def _caveats(self, bench: Bench, heard: InterventionSet, compared: Compared) -> list[str]:
        own = compared.own
        known = known_speakers(bench.corpora, own.fitted.scales, heard)
        speakers = sorted({base.speaker for base in heard.bases.values()})
        new = [name for name in speakers if name not in known]
        silent = sorted(name for name, base in heard.bases.items() if not base.phones)
        counts = ", ".join(f"{number} of {kind}" for kind, number in counts_of(own.courses).items())
        what = f"{counts}; {len(heard.bases)} base utterances; content {heard.content_hash[:12]}"
        return [
            "What is intervened in is the production of speech, not the model's states: that a read-out moves when its "
            "articulator is moved shows what the sound of that articulator does to states and heads, not what the "
            "model uses it for.",
            "Speech comes from one physical synthesiser, whose articulators can be moved apart where people's move "
            "together, and whose sound is simpler than people's. Its tongue does not ride on the jaw, so that a jaw "
            "which moves alone is hardly heard.",
            "Read-outs are linear heads with a penalty, which shrinks what they say: a gain below 1 may be the head's.",
            f"The unit is the speaker, of whom there are {len(speakers)}: intervals are over speakers, and over "
            f"utterances only in parts. Pairs: {what}.",
            f"Heads read at layer {own.labels[own.chosen]}, which validation chose. Speakers that heads know, by the "
            f"generator or the palate that corpus and interventions share: "
            f"{', '.join(name for name in speakers if name in known) or 'none'}; others, whose deviations are those "
            f"of the base utterances though a corpus may have someone of that name: {', '.join(new) or 'none'}.",
            "Another anatomy moves the positions in mm, too; in deviations of each speaker, which is what heads say, "
            "an invariant read-out stays where it is.",
            *(
                [
                    f"Base utterances without phones, in which voice, anatomy and noise are not measured: "
                    f"{', '.join(silent)}."
                ]
                if silent
                else []
            ),
        ]
