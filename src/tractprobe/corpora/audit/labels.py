"""Which phones close the lips, and which labels are pauses, in any phone set."""

import unicodedata

from tractprobe.corpora.ipa import PHONE_SETS, SILENCE, closes_lips, to_ipa

_BILABIAL = {"p", "b", "m", "pp", "bb", "mm", "pcl", "bcl", "em"}
_SILENCE = {"", "sil", "sp", "spn", "pau", "breath", "h", "noise", "silence", "nf"}


def is_bilabial(phone_set: str, label: str) -> bool:
    """Return whether the lips close during a phone; this is a guess if the phone set does not have the label.

    >>> [label for label in ("pʰ", "B", "mː", "AH0", "pp", "p_h", "&p:", "t") if is_bilabial("mine", label)]
    ['pʰ', 'B', 'mː', 'pp', 'p_h']
    """
    symbol = _ipa(phone_set, label)
    if symbol is not None:
        return closes_lips(symbol) and symbol != SILENCE
    return not label.startswith(("&", "<")) and _letters(label) in _BILABIAL


def is_silence(phone_set: str, label: str) -> bool:
    """Return whether a label is a pause; this is a guess if the phone set does not have the label.

    >>> [label for label in ("sp", "SIL", "#", "_", "<p:>", "&p:", "h#", "h", "s") if is_silence("mine", label)]
    ['sp', 'SIL', '#', '_', '<p:>', '&p:', 'h#']
    """
    symbol = _ipa(phone_set, label)
    if symbol is not None:
        return symbol == SILENCE
    return label != "h" and (label.startswith(("&", "<")) or _letters(label) in _SILENCE)


def _ipa(phone_set: str, label: str) -> str | None:
    return to_ipa(phone_set, label) if phone_set in PHONE_SETS else None


def _letters(label: str) -> str:
    """Return a label's base letters in lower case, up to an X-SAMPA diacritic."""
    base = [letter for letter in label.split("_")[0] if unicodedata.category(letter) in ("Ll", "Lu", "Lo")]
    return "".join(base).lower()
