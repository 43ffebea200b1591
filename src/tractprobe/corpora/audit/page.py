"""The audit as one self-contained HTML page: a table of checks and pictures for each speaker.

Pictures are PNGs embedded in the page, and nothing is loaded from elsewhere. Labels, texts and names come from
untrusted files: all are escaped, and none is interpreted as TeX. On a phone the rows of tables become blocks, and by
night the page and its pictures are dark.
"""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tractprobe.corpora.audit import VERDICTS, Audit, Check, SpeakerAudit
from tractprobe.corpora.audit.pictures import example_picture, lags_picture, positions_picture
from tractprobe.corpora.audit.table import counted
from tractprobe.signals.figures import png
from tractprobe.system.files import atomic
from tractprobe.system.printable import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURED = 24
"""Number of speakers with pictures, the worst first, so that the page stays small enough for a browser."""

COLOURS = {
    "LIGHT": {
        "paper": "#ffffff", "ink": "#1a1a1a", "soft": "#555555", "line": "#dddddd", "link": "#0057a0",
        "fail": "#b34700", "on-fail": "#ffffff", "look": "#ffe08a", "on-look": "#4a3500",
        "pass": "#d9ecf7", "on-pass": "#00486f", "na": "#eeeeee", "on-na": "#555555",
    },
    "DARK": {
        "paper": "#141414", "ink": "#e8e8e8", "soft": "#b4b4b4", "line": "#3a3a3a", "link": "#7cc4ff",
        "fail": "#ff8f4d", "on-fail": "#1a0d00", "look": "#e0b93c", "on-look": "#1d1500",
        "pass": "#12384f", "on-pass": "#a9dcff", "na": "#2b2b2b", "on-na": "#bbbbbb",
    },
}  # fmt: skip
"""By day and by night; letters and what they stand on have a contrast of 4.5 at least."""

_STYLE = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } img { filter: invert(.92) hue-rotate(180deg); } }
body { font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 2rem auto;
max-width: 1080px; padding: 0 1rem; overflow-wrap: anywhere; } h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem;
margin-top: 2.2rem; border-top: 1px solid var(--line); padding-top: 1rem; } a { color: var(--link); }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; } th { text-align: left; white-space: nowrap;
border-bottom: 2px solid var(--soft); } th, td { padding: .3rem .6rem; vertical-align: top; }
td { border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; } 
@media (min-width: 701px) { .checks td:nth-child(-n+3):not(:nth-child(2)) { white-space: nowrap; } }
.verdict { display: inline-block; white-space: nowrap; border-radius: 3px; padding: 0 .45rem; font-weight: 600; }
.fail { background: var(--fail); color: var(--on-fail); } .look { background: var(--look); color: var(--on-look); }
.pass { background: var(--pass); color: var(--on-pass); } .na { background: var(--na); color: var(--on-na); }
.cause { font-weight: 600; } .about { color: var(--soft); } img { display: block; max-width: 100%; }
.pictures { display: flex; flex-wrap: wrap; margin: .8rem 0; } .pictures img { flex: 1 1 320px; min-width: 0;
max-width: 528px; } .wide { overflow-x: auto; margin: .8rem 0; } .wide img { min-width: 720px; }
@media (max-width: 700px) { body { margin: 1rem auto; } h1 { font-size: 1.25rem; } tr.head { display: none; }
table, tbody, tr, td { display: block; } tr { border-bottom: 1px solid var(--line); padding: .5rem 0; }
td { border: 0; padding: .1rem 0; } td[data-label]::before { content: attr(data-label) ": "; color: var(--soft); }
.checks td:nth-child(-n+2) { display: inline-block; margin-right: .4rem; font-weight: 600; }
.checks td:nth-child(2)::before { content: ""; } }
"""
for _mode, _colours in COLOURS.items():
    _STYLE = _STYLE.replace(_mode, " ".join(f"--{name}: {colour};" for name, colour in _colours.items()))

_SPEAKERS = ("speaker", "language", "utterances", "audio", "fail / look / pass / n/a", "failed or rare")
_CHECKS = ("verdict", "check", "measured", "limits", "details")


def write_page(audit: Audit, path: Path, title: str = "Audit") -> None:
    """Write the page atomically."""
    with atomic(path) as temporary:
        temporary.write_text(page(audit, title), encoding="utf-8")


def page(audit: Audit, title: str = "Audit") -> str:
    """Return the page as HTML."""
    count = sum(speaker.failures > 0 for speaker in audit.speakers)
    verdict = f"{count} of {len(audit.speakers)} speakers with failures" if count else "no failures"
    if rare := sum(not speaker.failures and speaker.count("look") > 0 for speaker in audit.speakers):
        verdict += f", {counted(rare, 'speaker')} to look at"
    sections = [_section(speaker, pictured=place < PICTURED) for place, speaker in enumerate(audit.speakers)]
    return "\n".join([
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{_text(title)}: {verdict}</h1>",
        '<p class="about">Does this corpus, as read, look like human speech movements? mm, x to the front, y up; '
        "times from the start of the audio. Worst speakers first.</p>",
        _table(_SPEAKERS, map(_overview, audit.speakers)),
        *sections,
        "</body></html>\n",
    ])  # fmt: skip


def _text(text: str) -> str:
    """Return text of others as HTML: without markup, and without characters that control what shows it."""
    return escape(one_line(text))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], style: str = "speakers") -> str:
    """Return a table; where there are no columns, on a phone, each cell but the first says what it is."""
    head = "".join(f"<th>{column}</th>" for column in columns)
    labels = ["", *(f' data-label="{column}"' for column in columns[1:])]
    lines = [
        "".join(f"<td{label if cell else ''}>{cell}</td>" for label, cell in zip(labels, cells, strict=True))
        for cells in rows
    ]
    return f'<table class="{style}"><tr class="head">{head}</tr>{"".join(f"<tr>{line}</tr>" for line in lines)}</table>'


def _overview(speaker: SpeakerAudit) -> Sequence[str]:
    """Return a speaker's row in the table of speakers."""
    flagged = [check.name for verdict in ("fail", "look") for check in speaker.checks if check.verdict == verdict]
    counts = " / ".join(str(speaker.count(verdict)) for verdict in VERDICTS)
    name, audio = _text(speaker.speaker), f"{speaker.duration_s / 60:.1f} min"
    languages = _text(" ".join(speaker.languages))
    return f'<a href="#{name}">{name}</a>', languages, str(speaker.utterances), audio, counts, _text("; ".join(flagged))


def _section(speaker: SpeakerAudit, *, pictured: bool) -> str:
    name = _text(speaker.speaker)
    frames = "/".join(speaker.frames)
    summary = f"{speaker.utterances} utterances, {speaker.duration_s / 60:.1f} min, reference frame: {frames}"
    checks = sorted(speaker.checks, key=lambda check: VERDICTS.index(check.verdict))
    parts = [
        f'<h2 id="{name}">{name}</h2><p class="about">{_text(summary)}</p>',
        _table(_CHECKS, map(_row, checks), "checks"),
    ]
    if pictured:
        parts += _pictures(speaker)
    else:
        parts.append(f'<p class="about">Pictures are drawn for the first {PICTURED} speakers.</p>')
    return "\n".join(parts)


def _pictures(speaker: SpeakerAudit) -> list[str]:
    example = speaker.example
    text = f"“{example.text}”, " if example.text else ""
    positions = _image(positions_picture(speaker), f"Sensors of {speaker.speaker} in the midsagittal plane")
    lags = _image(lags_picture(speaker), f"Audio of {speaker.speaker} against movements, at each lag")
    movements = _image(example_picture(example), f"Audio and movements of {example.id}")
    return [
        f'<div class="pictures">{positions}{lags}</div>',
        f'<p class="about">{_text(text + example.id)}</p>',
        f'<div class="wide" tabindex="0">{movements}</div>',  # scrolls by keys, too, where it is wider than the page
    ]


def _row(check: Check) -> Sequence[str]:
    style = "na" if check.verdict == "not applicable" else check.verdict
    flagged = [("Why", check.limits.why_fail)] if check.verdict == "fail" else []
    flagged += [("Usual cause", check.limits.cause)] if check.verdict in ("fail", "look") else []
    causes = "".join(f'<br><span class="cause">{what}: {_text(text)}</span>' for what, text in flagged)
    verdict = f'<span class="verdict {style}">{check.verdict}</span>'
    return verdict, _text(check.name), _text(check.value), _text(check.expected), _text(check.detail) + causes


def _image(figure: "Figure", alternative: str) -> str:
    encoded = base64.b64encode(png(figure)).decode()
    return f'<img alt="{_text(alternative)}" src="data:image/png;base64,{encoded}">'
