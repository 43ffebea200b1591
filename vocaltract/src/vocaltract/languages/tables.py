"""The languages' tables as text, for the command line and the documentation."""

from collections.abc import Mapping, Sequence

from vocaltract.errors import VocalTractError
from vocaltract.languages import LANGUAGES, inventory, rhythm
from vocaltract.languages.symbols import FOLDER

Row = Mapping[str, object]


def table(rows: Sequence[Row]) -> str:
    """Rows with equal keys as a Markdown table."""
    names = list(rows[0])
    lines = [" | ".join(names), " | ".join("---" for _ in names)]
    lines += [" | ".join(str(row[name]) for name in names) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def overview(languages: Sequence[str] = ()) -> str:
    """All tables of all languages, or some languages in detail.

    Raises
    ------
    VocalTractError
        For an unknown language.
    """
    unknown = [language for language in languages if language not in LANGUAGES]
    if unknown:
        raise VocalTractError(f"language {unknown[0]!r} is none of {', '.join(LANGUAGES)}")
    if languages:
        return "\n\n".join(detail(language) for language in languages)
    parts = {
        "Inventories": inventory.inventories(),
        "Overlap of inventories (Jaccard)": inventory.overlaps(),
        "Coverage by the texts": inventory.coverage(),
        "Rhythm": rhythm.rows(),
    }
    return "\n\n".join(f"{title}\n\n{table(rows)}" for title, rows in parts.items())


def detail(language: str) -> str:
    """Every phone of a language with how often its texts have it, and where its table is."""
    found, known = inventory.counts(language), inventory.inventory(language)
    groups = {"consonants": known.consonants, "vowels": known.vowels, "marginal": known.marginal}
    lines = [f"{name}: " + " ".join(f"{ipa} {found[ipa]}" for ipa in phones) for name, phones in groups.items()]
    figures = ", ".join(f"{name} {value}" for name, value in rhythm.row(language).items() if name != "language")
    return "\n".join([f"{language} ({FOLDER / language}.toml)", *lines, figures])
