"""Audit: whether a prepared corpus, as read, looks like human speech movements."""

from collections.abc import Sequence
from pathlib import Path

from tractprobe.corpora.audit import Audit, audit
from tractprobe.corpora.audit.limits import Table, own_limits, read_limits
from tractprobe.corpora.prepared.corpus import PreparedCorpus
from tractprobe.system.errors import ConfigError
from tractprobe.system.printable import printable
from tractprobe.system.progress import progress


def audit_corpus(corpus: PreparedCorpus, page: Path | None, limits: Path | None) -> int:
    """Print the audit of a corpus, and write its page; return the exit status: 1 if something failed."""
    result = _audited(corpus, _table(limits))
    print(printable(str(result)))
    if page:
        from tractprobe.corpora.audit.page import write_page

        write_page(result, page, title=f"Audit of {corpus.name}")
        print(f"\npictures in {page}")
    return 0 if result.passed else 1


def calibrate(corpora: Sequence[PreparedCorpus], limits: Path | None) -> int:
    """Print the limits that corpora known to be good ask for, as a file for ``--limits``; return the exit status."""
    from tractprobe.corpora.audit.calibration import calibrated

    if len({corpus.name for corpus in corpora}) < len(corpora):
        raise ConfigError(f"{', '.join(str(corpus.folder) for corpus in corpora)}: give corpora of different names")
    table = _table(limits)
    print(calibrated({corpus.name: _audited(corpus, table) for corpus in corpora}, table))
    return 0


def _table(limits: Path | None) -> Table:
    return read_limits(limits) if limits else own_limits()


def _audited(corpus: PreparedCorpus, limits: Table) -> Audit:
    entries = progress(corpus.entries, f"auditing {corpus.name}", unit="utterance")
    return audit((corpus.utterance(entry.id) for entry in entries), corpus.palates, limits=limits)
