"""The audit as one self-contained HTML page: a table of checks and pictures for each speaker.

Pictures are PNGs embedded in the page, and nothing is loaded from elsewhere. Labels, texts and names come from
untrusted files: all are escaped, and none is interpreted as TeX.
"""

import base64
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from tractprobe.corpora.audit import VERDICTS, Audit, Check, SpeakerAudit
from tractprobe.corpora.audit.pictures import example_picture, positions_picture
from tractprobe.corpora.audit.table import counted
from tractprobe.signals.figures import png
from tractprobe.system.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PICTURED = 24
"""Number of speakers with pictures, the worst first, so that the page stays small enough for a browser."""

_STYLE = """
:root { color-scheme: light; } body { font: 15px/1.45 system-ui, sans-serif; color: #1a1a1a; margin: 2rem auto;
max-width: 1080px; padding: 0 1rem; } h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem;
border-top: 1px solid #ddd; padding-top: 1rem; } table { border-collapse: collapse; width: 100%; font-size: 13.5px; }
th { text-align: left; border-bottom: 2px solid #999; } th, td { padding: .3rem .6rem; vertical-align: top; }
td { border-bottom: 1px solid #e4e4e4; } td.number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.verdict { display: inline-block; white-space: nowrap; border-radius: 3px; padding: 0 .45rem; font-weight: 600; }
.fail { background: #D55E00; color: #fff; } .pass { background: #d9ecf7; color: #00486f; }
.na { background: #eee; color: #555; } .cause { font-weight: 600; } .about { color: #555; }
img { max-width: 100%; display: block; margin: .8rem 0; } .matrix td, .matrix th { padding: .2rem .4rem; }
"""


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
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}: {verdict}</h1>",
        '<p class="about">Does this corpus, as read, look like human speech movements? mm, x to the front, y up; '
        "times from the start of the audio. Worst speakers first.</p>",
        _overview(audit),
        *sections,
        "</body></html>\n",
    ])  # fmt: skip


def _overview(audit: Audit) -> str:
    """Return a table of speakers and the checks that they failed."""
    rows = []
    for speaker in audit.speakers:
        flagged = [check.name for verdict in ("fail", "look") for check in speaker.checks if check.verdict == verdict]
        counts = " / ".join(str(speaker.count(verdict)) for verdict in VERDICTS)
        name = escape(speaker.speaker)
        rows.append(
            f'<tr><td><a href="#{name}">{name}</a></td><td>{escape(" ".join(speaker.languages))}</td>'
            f'<td class="number">{speaker.utterances}</td><td class="number">{speaker.duration_s / 60:.1f} min</td>'
            f'<td class="number">{counts}</td><td>{escape("; ".join(flagged))}</td></tr>'
        )
    columns = ("speaker", "language", "utterances", "audio", "fail / look / pass / n/a", "failed or rare")
    head = "".join(f"<th>{column}</th>" for column in columns)
    return f'<table class="matrix"><tr>{head}</tr>{"".join(rows)}</table>'


def _section(speaker: SpeakerAudit, *, pictured: bool) -> str:
    name = escape(speaker.speaker)
    frames = "/".join(speaker.frames)
    summary = f"{speaker.utterances} utterances, {speaker.duration_s / 60:.1f} min, reference frame: {frames}"
    checks = sorted(speaker.checks, key=lambda check: VERDICTS.index(check.verdict))
    head = "<tr><th>verdict</th><th>check</th><th>measured</th><th>limits</th><th>details</th></tr>"
    parts = [
        f'<h2 id="{name}">{name}</h2><p class="about">{escape(summary)}</p>',
        f"<table>{head}{''.join(map(_row, checks))}</table>",
    ]
    if pictured:
        text = f"“{speaker.example.text}”, " if speaker.example.text else ""
        parts += [
            _image(positions_picture(speaker), f"Sensors of {speaker.speaker} in the midsagittal plane, and lags"),
            f'<p class="about">{escape(text + speaker.example.id)}</p>',
            _image(example_picture(speaker.example), f"Audio and movements of {speaker.example.id}"),
        ]
    else:
        parts.append(f'<p class="about">Pictures are drawn for the first {PICTURED} speakers.</p>')
    return "\n".join(parts)


def _row(check: Check) -> str:
    style = "na" if check.verdict == "not applicable" else check.verdict
    flagged = [("Why", check.limits.why_fail)] if check.verdict == "fail" else []
    flagged += [("Usual cause", check.limits.cause)] if check.verdict in ("fail", "look") else []
    cause = "".join(f'<br><span class="cause">{what}: {escape(text)}</span>' for what, text in flagged)
    return (
        f'<tr><td><span class="verdict {style}">{check.verdict}</span></td><td>{escape(check.name)}</td>'
        f'<td class="number">{escape(check.value)}</td><td class="number">{escape(check.expected)}</td>'
        f"<td>{escape(check.detail)}{cause}</td></tr>"
    )


def _image(figure: "Figure", alternative: str) -> str:
    encoded = base64.b64encode(png(figure)).decode()
    return f'<img alt="{escape(alternative)}" src="data:image/png;base64,{encoded}">'
