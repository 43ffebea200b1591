"""Audit: whether a prepared corpus, as read, looks like human speech movements."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tractprobe.corpora.audit import Audit, Measured, audit
from tractprobe.corpora.audit.limits import Table, own_limits, read_limits
from tractprobe.corpora.audit.sound import audit_sound
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.system.errors import ConfigError, CorpusError
from tractprobe.system.printable import printable
from tractprobe.system.progress import progress

REFERENCES = "head references keep their distances"


def audit_corpus(
    corpus: PreparedCorpus, page: Path | None, limits: Path | None, against: str | Path | None = None
) -> int:
    """Print the audit of a corpus, and write its page; return the exit status: 1 if something failed."""
    if not corpus.has_movements and not (page or limits or against):
        return _audit_sound(corpus)
    corpus.check_movements()
    table, also = _table(limits), _references(corpus)
    for speaker, measured in (_against(corpus, against) if against else {}).items():
        also.setdefault(speaker, []).extend(measured)
    result = _audited(corpus, table, also)
    print(printable(str(result)))
    if page:
        from tractprobe.corpora.audit.page import write_page

        write_page(result, page, title=f"Audit of {corpus.name}")
        print(f"\npictures in {page}")
    return 0 if result.passed else 1


def _audit_sound(corpus: PreparedCorpus) -> int:
    entries = progress(corpus.entries, f"auditing {corpus.name}", unit="utterance")
    result = audit_sound(corpus.utterance(entry.id) for entry in entries)
    print(printable(str(result)))
    return 0 if result.passed else 1


def calibrate(corpora: Sequence[PreparedCorpus], limits: Path | None) -> int:
    """Print the limits that corpora known to be good ask for, as a file for ``--limits``; return the exit status."""
    from tractprobe.corpora.audit.calibration import calibrated

    for corpus in corpora:
        corpus.check_movements()
    if len({corpus.name for corpus in corpora}) < len(corpora):
        raise ConfigError(f"{', '.join(str(corpus.folder) for corpus in corpora)}: give corpora of different names")
    table = _table(limits)
    print(calibrated({corpus.name: _audited(corpus, table, _references(corpus)) for corpus in corpora}, table))
    return 0


def _against(corpus: PreparedCorpus, head: str | Path) -> dict[str, list[Measured]]:
    """Print r of each speaker's channels under a head, and return what the audit judges of it."""
    from tractprobe.inversion.inverter import load_head
    from tractprobe.inversion.reference import compared, sampled, table

    entries = sampled(corpus.entries)
    inverter = load_head(head)
    speakers = compared(inverter, corpus, progress(entries, f"reading {corpus.name}", unit="utterance"))
    own = sorted({speaker for speaker in speakers if f"{corpus.name}/{speaker}" in inverter.file.scales})
    if own:
        print(printable(f"{head} learned from {', '.join(own)} of this corpus, mistakes included"))
    print(printable(f"r of movements against those that {head} reads:\n{table(speakers)}\n"))
    return {speaker: of.measured() for speaker, of in speakers.items()}


def _references(corpus: PreparedCorpus) -> dict[str, list[Measured]]:
    """Return how well each speaker's head references kept their distances, in the worst session, where readers tell."""
    worst: dict[str, Measured] = {}
    try:
        for session in corpus.description.get("head_references", []):
            speaker = str(session["session"]).partition(" in ")[0]
            for pair, deviation_mm in session["deviation_mm"].items():
                before = worst.get(speaker)
                if before is None or float(deviation_mm) > (before.number or 0.0):
                    detail = f"{pair}, in 95 % of frames; {session['session']}"
                    worst[speaker] = Measured(REFERENCES, float(deviation_mm), detail)
    except (LookupError, TypeError, ValueError, AttributeError):
        raise CorpusError(corpus.folder / "corpus.json", "head_references are not those of sessions") from None
    return {speaker: [measured] for speaker, measured in worst.items()}


def _table(limits: Path | None) -> Table:
    return read_limits(limits) if limits else own_limits()


def _audited(corpus: PreparedCorpus, limits: Table, also: Mapping[str, Sequence[Measured]]) -> Audit:
    entries = progress(corpus.entries, f"auditing {corpus.name}", unit="utterance")
    utterances = (corpus.utterance(entry.id) for entry in entries)
    return audit(utterances, corpus.palates, limits=limits, also=also, simulated=bool(corpus.simulated))
