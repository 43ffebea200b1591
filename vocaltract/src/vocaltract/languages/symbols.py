"""What is known of a language, from one TOML file each: voice, rate, espeak's symbols in IPA, syllable onsets."""

import functools
import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vocaltract.errors import VocalTractError

FOLDER = Path(__file__).parent / "tables"


@dataclass(frozen=True)
class Table:
    """A language's table.

    Attributes
    ----------
    voice
        espeak-ng's voice.
    rate_wpm
        espeak's rate setting, fixed per language so that reading has 11 to 15 phones per second without pauses.
    symbols
        espeak's mnemonic: phones in IPA, several or none where it stands for several or none.
    respelled
        Words that espeak reads wrongly: a spelling that it reads well.
    onsets
        Consonant sequences that may begin a syllable.
    never_onsets
        Consonants that begin none.
    """

    language: str
    voice: str
    rate_wpm: int
    symbols: Mapping[str, tuple[str, ...]]
    respelled: Mapping[str, str]
    onsets: frozenset[tuple[str, ...]]
    never_onsets: frozenset[str]

    def ipa(self, symbol: str, word: str) -> tuple[str, ...]:
        """Phones of a mnemonic.

        Raises
        ------
        VocalTractError
            If the table lacks it; names the symbol, the word and the language.
        """
        if symbol not in self.symbols:
            file = FOLDER / f"{self.language}.toml"
            raise VocalTractError(
                f"espeak-ng's symbol {symbol!r} in {word!r} has no IPA in {self.language!r}; add it to {file}"
            )
        return self.symbols[symbol]


@functools.cache
def load(language: str) -> Table:
    """Read ``tables/<language>.toml``.

    Raises
    ------
    VocalTractError
        If there is no such file.
    """
    path = FOLDER / f"{language}.toml"
    if not path.is_file():
        raise VocalTractError(f"no table of language {language!r} in {FOLDER}")
    content = tomllib.loads(unicodedata.normalize("NFC", path.read_text(encoding="utf-8")))
    symbols: dict[str, tuple[str, ...]] = {}
    for manner, rows in content["symbols"].items():
        for symbol, ipa in rows.items():
            if symbol in symbols:
                raise VocalTractError(f"{path}: symbol {symbol!r} is under {manner!r} and elsewhere")
            symbols[symbol] = tuple(ipa.split())
    onsets = frozenset(tuple(onset.split()) for onset in content["onsets"]["clusters"])
    never = frozenset(content["onsets"]["never"].split())
    return Table(language, content["voice"], content["rate_wpm"], symbols, content.get("respelled", {}), onsets, never)
