"""What a phone becomes among its neighbours, where espeak-ng leaves it coarse: each language's list of rules.

Sources: the Illustrations of the IPA (Handbook, 1999; Journal of the IPA) of American English (Ladefoged 1999), German
(Kohler 1999), Italian (Rogers, d'Arcangeli 2004), Castilian Spanish (Martínez-Celdrán et al. 2003), Dutch (Gussenhoven
1992) and Hindi (Ohala 1994); Suomi, Toivanen, Ylitalo (2008) for Finnish.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from vocaltract.languages.rules import common, germanic, indic_finnic, romance
from vocaltract.languages.sounds import Sound

Rule = Callable[[list[Sound]], None]

BEFORE_SYLLABLES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {
        "en": (germanic.single_rhotic,),
        "de": (germanic.german_affricate, germanic.german_r, germanic.german_dorsal, germanic.final_devoicing),
        "it": (
            romance.short_vowels,
            romance.glides,
            common.geminates,
            romance.italian_inherent_length,
            romance.italian_tap,
            common.nasal_place,
        ),
        "es": (
            romance.glides,
            common.nasal_place,
            romance.spanish_lenition,
            romance.dental_l,
            romance.spanish_z,
        ),
        "nl": (germanic.dutch_palatals, germanic.dutch_w, germanic.final_devoicing),
        "fi": (common.geminates, indic_finnic.finnish_h, common.nasal_place),
        "hi": (
            common.geminates,
            indic_finnic.short_initials,
            common.nasal_place_in_word,
            indic_finnic.hindi_schwa,
            indic_finnic.hindi_nasal,
        ),
    }
)
AFTER_SYLLABLES: Mapping[str, tuple[Rule, ...]] = MappingProxyType(
    {"en": (common.aspiration, germanic.flap, germanic.dark_l), "de": (common.aspiration,)}
)
"""Rules that need syllables."""
