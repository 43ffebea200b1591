"""Phone symbols against the standards they come from, and against the labels of real recordings."""

import json
import re
import unicodedata
from pathlib import Path

import pytest
from conftest import real
from hypothesis import given
from hypothesis import strategies as st

from tractprobe.corpora.ipa import _XSAMPA, BILABIAL, PHONE_SETS, SILENCE, UNKNOWN, closes_lips, to_ipa, unknown_symbols
from tractprobe.corpora.readers.emu import Emu
from tractprobe.corpora.readers.hprc import Hprc
from tractprobe.runs.hydra import builtin_corpus
from tractprobe.system.errors import ConfigError

# TIMIT's phoncode.doc: 52 phones, 6 closures, and the three marks that are no phones
TIMIT = """b d g p t k dx q jh ch s sh z zh f th v dh m n ng em en eng nx l r w y hh hv el
    iy ih eh ey ae aa aw ay ah ao oy ow uh uw ux er ax ix axr ax-h
    bcl dcl gcl pcl tcl kcl pau epi h#""".split()
CMU = """AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH""".split()
MOCHA = """@ @@ a aa ai b breath ch d dh e ei eir f g h i i@ ii iy jh k l m n ng o oi oo ou ow p r s sh sil t th u uh
    uu v w y z zh""".split()
COMBILEX = """# @ @@ @U A D E E@ I I@ N O OI Q S T U U@ V Z a aI aU b d dZ eI f g h i j k l l= lw m m= n n= p r s t tS u
    v w z""".split()
MSPKA = """a e E1 i o O1 u b d g p t k f v s z SS JJ m n ng l r j w dZ tS dz ts dd tt ss pp kk ll rr nn mm gg vv ddZ ddz
    ttS tts nf LL bb ff sil""".split()
PB2007 = "__ _ a e^ e i y u o^ o x x^ q a~ e~ x~ o~ p t k f s s^ b d g v z z^ m n r l w h j".split()
GERMAN = """p b t d k g ? pf ts tS f v s z S Z C x h m n N l r R j I Y E 9 a O U i: y: e: 2: E: a: o: u: aI aU OY
    @ 6 i e y o u 2 <p:>""".split()


def words(phone_set: str, symbols: str) -> str:
    return " ".join(to_ipa(phone_set, symbol) or UNKNOWN for symbol in symbols.split())


@pytest.mark.parametrize(
    ("phone_set", "inventory", "size"),
    [
        ("arpabet", TIMIT, 61),
        ("timit", TIMIT, 61),
        ("arpabet", CMU, 39),
        ("mocha", MOCHA, 46),
        ("combilex", COMBILEX, 49),
        ("mspka", MSPKA, 50),
        ("pb2007", PB2007, 36),
        ("maus", GERMAN, 53),
    ],
)
def test_every_symbol_of_an_inventory_is_known(phone_set, inventory, size):
    assert len(set(inventory)) == len(inventory) == size
    assert not unknown_symbols(phone_set, inventory)


@pytest.mark.parametrize(
    ("phone_set", "inventory", "same"),
    [
        ("arpabet", TIMIT, 2),  # pau, epi and h# are no phones
        ("arpabet", CMU, 0),
        ("mocha", MOCHA, 1),  # breath and sil
        ("combilex", COMBILEX, 0),
        ("mspka", MSPKA, 0),
        ("pb2007", PB2007, 1),  # long and short pause
        ("maus", GERMAN, 0),
    ],
)
def test_different_symbols_of_a_set_are_different_phones(phone_set, inventory, same):
    assert len({to_ipa(phone_set, symbol) for symbol in inventory}) == len(inventory) - same


@pytest.mark.parametrize(
    ("phone_set", "symbols", "ipa"),
    [
        ("arpabet", "DH AH0 B ER1 CH K AH0 N UW1", "ð ə b ɝ tʃ k ə n u"),
        ("arpabet", "AA1 AE2 AH1 AO1 AW0 AY1 EH1 EY1 IH1 IY0 OW1 OY1 UH1", "ɑ æ ʌ ɔ aʊ aɪ ɛ eɪ ɪ i oʊ ɔɪ ʊ"),
        ("arpabet", "HH JH NG R SH TH Y ZH G L W ER0 AH", "h dʒ ŋ ɹ ʃ θ j ʒ ɡ l w ɚ ʌ"),
        ("timit", "dx nx q hv ux ix ax axr ax-h el em en eng", "ɾ ɾ̃ ʔ ɦ ʉ ɨ ə ɚ ə̥ l̩ m̩ n̩ ŋ̩"),
        ("timit", "pcl bcl tcl dcl kcl gcl", "p̚ b̚ t̚ d̚ k̚ ɡ̚"),
        ("arpabet", "sil sp SP pau epi h# br", " ".join([SILENCE] * 7)),
        ("mocha", "dh i s w @ z ii z iy f @ r uh s", "ð ɪ s w ə z iː z i f ə ɹ ʌ s"),  # "this was easy for us"
        ("mocha", "@@ a aa e o oo u uu", "ɜː æ ɑː ɛ ɒ ɔː ʊ uː"),
        ("mocha", "ai ei oi ou ow i@ eir", "aɪ eɪ ɔɪ əʊ aʊ ɪə ɛə"),
        ("mocha", "ch jh ng sh th y zh g h", "tʃ dʒ ŋ ʃ θ j ʒ ɡ h"),
        ("combilex", "i I E a A Q O U u V @@ @", "iː ɪ ɛ æ ɑː ɒ ɔː ʊ uː ʌ ɜː ə"),
        ("combilex", "eI aI OI @U aU I@ E@ U@", "eɪ aɪ ɔɪ əʊ aʊ ɪə ɛə ʊə"),
        ("combilex", "tS dZ T D S Z N r lw 5 l= l! n= n! j", "tʃ dʒ θ ð ʃ ʒ ŋ ɹ ɫ ɫ l̩ l̩ n̩ n̩ j"),
        ("mspka", "a E1 O1 e i tS dZ ts dz JJ LL SS", "a ɛ ɔ e i tʃ dʒ ts dz ɲː ʎː ʃː"),
        ("mspka", "tt ss rr gg tts ttS ddz ddZ nf ng r g", "tː sː rː ɡː tːs tːʃ dːz dːʒ ɱ ŋ r ɡ"),
        ("pb2007", "e e^ o o^ x x^ q a~ e~ o~ x~", "e ɛ o ɔ ø œ ə ɑ̃ ɛ̃ ɔ̃ œ̃"),
        ("pb2007", "s s^ z z^ r h j w g __ _", f"s ʃ z ʒ ʁ ɥ j w ɡ {SILENCE} {SILENCE}"),
        ("maus", "i: I y: Y e: E E: 2: 9 a: a O o: U u:", "iː ɪ yː ʏ eː ɛ ɛː øː œ aː a ɔ oː ʊ uː"),
        ("maus", "aI aU OY @ 6 C x N S Z ? pf ts tS j v", "aɪ aʊ ɔʏ ə ɐ ç x ŋ ʃ ʒ ʔ pf ts tʃ j v"),
        ("maus", "<p:> &p: # <usb> <nib> H# k kh", f"{' '.join([SILENCE] * 6)} k kʰ"),
        ("ipa", "tʃ t͡ʃ ʧ g ɡ iː i: ˈa a˥ ə˞ ɚ uai ʈʂʰ ɣ̞", "tʃ tʃ tʃ ɡ ɡ iː iː a a ɚ ɚ uai ʈʂʰ ɣ̞"),
        ("ipa", "ç c\u0327 ã a\u0303 _", f"ç ç ã ã {SILENCE}"),
    ],
)
def test_symbols_are_what_the_standard_says(phone_set, symbols, ipa):
    assert words(phone_set, symbols) == unicodedata.normalize("NFC", ipa)


@pytest.mark.parametrize(
    ("xsampa", "ipa"),
    [
        ("p b t d t` d` c J\\ k g q G\\ ?", "p b t d ʈ ɖ c ɟ k ɡ q ɢ ʔ"),
        ("m F n n` J N N\\ B\\ r R\\ 4 r`", "m ɱ n ɳ ɲ ŋ ɴ ʙ r ʀ ɾ ɽ"),
        ("p\\ B f v T D s z S Z s` z` C j\\", "ɸ β f v θ ð s z ʃ ʒ ʂ ʐ ç ʝ"),
        ("x G X R X\\ ?\\ h h\\ K K\\", "x ɣ χ ʁ ħ ʕ h ɦ ɬ ɮ"),
        ("P v\\ r\\ r\\` j M\\ l l` L L\\", "ʋ ʋ ɹ ɻ j ɰ l ɭ ʎ ʟ"),
        ("W w H H\\ <\\ >\\ s\\ z\\ l\\ x\\ 5", "ʍ w ɥ ʜ ʢ ʡ ɕ ʑ ɺ ɧ ɫ"),
        ("O\\ |\\ !\\ =\\ |\\|\\ b_< d_< J\\_< g_< G\\_<", "ʘ ǀ ǃ ǂ ǁ ɓ ɗ ʄ ɠ ʛ"),
        ("i y 1 } M u I Y U e 2 @\\ 8 7 o", "i y ɨ ʉ ɯ u ɪ ʏ ʊ e ø ɘ ɵ ɤ o"),
        ("@ E 9 3 3\\ V O { 6 a & A Q @` 3`", "ə ɛ œ ɜ ɞ ʌ ɔ æ ɐ a ɶ ɑ ɒ ɚ ɝ"),
        ("t_h t_d t' t_j t_w n= E~ a: a:\\ l_e", "tʰ t̪ tʲ tʲ tʷ n̩ ɛ̃ aː aˑ ɫ"),
        ("b_0 s_v b_t b_k t_a t_m t_N a_+ a_- e_o e_r", "b̥ s̬ b̤ b̰ t̺ t̻ t̼ a̟ a̠ e̞ e̝"),
        ("t_S t_s dZ aI@ t_} p_> i_^ d_G s_?\\ o_O o_c", "tʃ ts dʒ aɪə t̚ pʼ i̯ dˠ sˤ o̹ o̜"),
        ('"a %a: a_H o_F', "a aː a o"),  # stress and tone are the syllable's
    ],
)
def test_x_sampa_is_wells_table(xsampa, ipa):
    assert words("xsampa", xsampa) == unicodedata.normalize("NFC", ipa)


def test_x_sampa_symbols_mean_different_things_but_for_the_known_synonyms():
    synonyms = {"v\\", "_=", "_~", "_j"}
    meanings = [ipa for symbol, ipa in _XSAMPA.items() if ipa and symbol not in synonyms]
    assert len(set(meanings)) == len(meanings)


@pytest.mark.parametrize(
    ("phone_set", "label"),
    [
        ("arpabet", "QQ"),
        ("arpabet", "B1"),  # only vowels are stressed
        ("arpabet", "AH3"),
        ("arpabet", "spn"),
        ("mocha", "AH"),
        ("mocha", "aː"),
        ("pb2007", "z~"),
        ("xsampa", "é"),
        ("xsampa", "_h"),  # a diacritic without a letter
        ("xsampa", '"'),
        ("maus", "hello"),
        ("mspka", "è"),
        ("ipa", "AH0"),
        ("ipa", "š"),
        ("ipa", "ɡʊdbaɪ"),
        ("ipa", "ː"),
        ("ipa", "spn"),
        ("ipa", "?"),
    ],
)
def test_what_a_set_does_not_have_is_unknown(phone_set, label):
    assert to_ipa(phone_set, label) is None


def test_unknown_symbols_are_counted_as_written():
    assert unknown_symbols("arpabet", ["AH0", "Qx", "sil", "Qx", "zz"]) == {"Qx": 2, "zz": 1}


def test_an_unknown_set_is_an_error_that_lists_the_sets():
    with pytest.raises(ConfigError, match=r"'celex'.*arpabet"):
        to_ipa("celex", "a")


@pytest.mark.parametrize("phone_set", PHONE_SETS)
def test_silence_is_one_symbol_in_every_set(phone_set):
    assert {to_ipa(phone_set, label) for label in ("sil", "SIL", "sp", "", " ", "#", "_", SILENCE)} == {SILENCE}


@given(st.sampled_from(PHONE_SETS), st.text(max_size=6) | st.text("aeitsmpnkgTSNOE:~_=@0123456789\\`<>^h", max_size=5))
def test_whatever_comes_out_is_canonical_ipa(phone_set, label):
    ipa = to_ipa(phone_set, label)
    if ipa is not None:
        assert ipa and unicodedata.normalize("NFC", ipa) == ipa
        assert to_ipa("ipa", ipa) == ipa
        assert not re.search(r"[\sA-Zg:\u0361ˈ]", ipa)


@given(st.text("ptkɡnaeiɔʃʒŋçãʰː\u0303\u0325\u0329\u0327\u032a", min_size=1, max_size=5))
def test_the_normal_form_of_the_label_does_not_matter(label):
    forms = {to_ipa("ipa", unicodedata.normalize(form, label)) for form in ("NFC", "NFD")}
    assert len(forms) == 1


@given(st.sampled_from([symbol for symbol in CMU]), st.sampled_from(["lower", "upper", "title"]))
def test_arpabet_is_the_same_in_either_case(symbol, case):
    assert to_ipa("arpabet", getattr(symbol, case)()) == to_ipa("arpabet", symbol)


def test_lips_close_during_bilabial_stops_and_nasals_alone():
    assert BILABIAL == {"p", "b", "m"}
    closing = {symbol for symbol in TIMIT if closes_lips(to_ipa("timit", symbol) or "")}
    assert closing == {"p", "b", "m", "em", "pcl", "bcl"}
    assert {symbol for symbol in MSPKA if closes_lips(to_ipa("mspka", symbol) or "")} == {
        "p",
        "b",
        "m",
        "pp",
        "bb",
        "mm",
    }
    assert not closes_lips(SILENCE) and not closes_lips(UNKNOWN)


def test_the_built_in_corpus_is_ipa_throughout():
    labels = set()
    for path in Path(builtin_corpus("virtual")).rglob("*.json"):
        labels |= {label for label, *_ in json.loads(path.read_text()).get("phones", [])}
    assert len(labels) > 80
    assert not unknown_symbols("ipa", labels)
    assert {label for label in labels if to_ipa("ipa", label) != label} <= {"_"}


def test_real_mocha_labels_are_known():
    lines = (real("TRACTPROBE_SAMPLES", "mocha_timit") / "fsew0_001.lab").read_text().splitlines()
    labels = [line.split()[2] for line in lines if line.strip()]
    assert len(labels) == 18
    assert words("mocha", " ".join(labels[3:-1])) == "ð ɪ s w ə z iː z i f ə ɹ ʌ s"


def test_real_hprc_labels_are_known():
    reader = Hprc(real("TRACTPROBE_SAMPLES", "hprc_haskins"))
    for source in reader.sources():
        labels = [phone.label for phone in reader.read(source)[0].phones]
        assert words("arpabet", " ".join(labels[1:10])) == "ð ə b ɝ tʃ k ə n u"  # "the birch canoe"
        assert not unknown_symbols("arpabet", labels)


def test_real_emu_labels_are_known():
    reader = Emu("demo", real("TRACTPROBE_SAMPLES", "emu_ssff", "demoDB_ema"), "de")
    labels = [phone.label for source in reader.sources() for phone in reader.read(source)[0].phones]
    assert len(labels) == 70
    assert not unknown_symbols("maus", labels)
    assert "k l aʊ z uː ɐ" in words("maus", " ".join(labels))  # Klausur


def test_real_labels_of_an_xlabel_file_are_known():
    folder = real("TRACTPROBE_SAMPLES", "emu_ssff", "tinyDfg91")
    lines = next(folder.rglob("*.MAU")).read_text().split("#\n", 1)[1].splitlines()
    labels = [line.split()[2] for line in lines if line.strip()]
    assert len(labels) == 29
    assert not unknown_symbols("maus", labels)
