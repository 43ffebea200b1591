from pathlib import Path

import pytest
from damage import refusals
from hypothesis import given
from hypothesis import strategies as st

from tractprobe.corpora.formats.textgrid import read_textgrid
from tractprobe.system.errors import CorpusError

Tiers = dict[str, list[tuple[float, float, str]]]
TIERS: Tiers = {
    "phone": [(0.0125, 0.2, "sp"), (0.2, 0.3, "HH"), (0.3, 0.45, "AY1"), (0.45, 0.6, " ")],
    "word": [(0.0125, 0.2, "sp"), (0.2, 0.45, 'HI "YOU"'), (0.45, 0.6, "")],
}


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def long_form(tiers: Tiers, end_s: float = 0.6) -> str:
    """Praat's long form, trailing blanks and all."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0.0125 ", f"xmax = {end_s} "]
    lines += ["tiers? <exists> ", f"size = {len(tiers) + 1} ", "item []: "]
    for number, (name, intervals) in enumerate(tiers.items(), start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier" ', f"        name = {quoted(name)} "]
        lines += ["        xmin = 0.0125 ", f"        xmax = {end_s} ", f"        intervals: size = {len(intervals)} "]
        for index, (start_s, end_s, text) in enumerate(intervals, start=1):
            lines += [f"        intervals [{index}]:", f"            xmin = {start_s!r} "]
            lines += [f"            xmax = {end_s!r} ", f"            text = {quoted(text)} "]
    lines += [f"    item [{len(tiers) + 1}]:", '        class = "TextTier" ', '        name = "phone" ']
    lines += ["        xmin = 0.0125 ", f"        xmax = {end_s} ", "        points: size = 1 ", "        points [1]:"]
    lines += ["            number = 0.3 ", '            mark = "burst" ', ""]
    return "\n".join(lines)


def short_form(tiers: Tiers, end_s: float = 0.6) -> str:
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "0.0125",
        str(end_s),
        "<exists>",
        str(len(tiers)),
    ]
    for name, intervals in tiers.items():
        lines += ['"IntervalTier"', quoted(name), "0.0125", str(end_s), str(len(intervals))]
        for start_s, end_s, text in intervals:
            lines += [repr(start_s), repr(end_s), quoted(text)]
    return "\n".join([*lines, ""])


FORMS = {"long": long_form, "short": short_form}


def save(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be with mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_round_trip(tmp_path: Path, form: str, encoding: str, end: str):
    content = FORMS[form](TIERS | {"glöss": [(0.0, 0.6, "ʔaɪ")]}).replace("\n", end)
    if "mark" in encoding:
        content, encoding = "\ufeff" + content, "utf-16-be"
    grid = read_textgrid(save(tmp_path / "a.TextGrid", content, encoding))
    assert [name for name, _ in grid.tiers] == ["phone", "word", "glöss"]  # the tier of points is skipped
    phones = [(phone.label, phone.start_s, phone.end_s) for phone in grid.intervals("phone")]
    assert phones == [("sp", 0.0125, 0.2), ("HH", 0.2, 0.3), ("AY1", 0.3, 0.45)]
    assert grid.text("word") == 'HI "YOU"'
    assert grid.intervals("glöss")[0].label == "ʔaɪ"


labels = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=8)
spans = st.tuples(st.floats(0, 1e3), st.floats(0, 1e3)).map(sorted)


@given(st.lists(st.tuples(spans, labels), max_size=5), st.sampled_from(sorted(FORMS)))
def test_any_label_and_any_time_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list, form: str):
    intervals = [(start_s, end_s, label) for (start_s, end_s), label in rows]
    grid = read_textgrid(save(tmp_path_factory.getbasetemp() / "any.TextGrid", FORMS[form]({"x": intervals})))
    assert [(phone.start_s, phone.end_s) for phone in grid.tiers[0][1]] == [span[:2] for span in intervals]
    assert [phone.label for phone in grid.tiers[0][1]] == [label.strip() for _, _, label in intervals]


def test_numbers_in_comments_and_names_do_not_count(tmp_path: Path):
    content = short_form(TIERS).replace("<exists>\n2\n", '<exists> ! 3 tiers "once"\nitem [7] 2 x9\n')
    assert read_textgrid(save(tmp_path / "a.TextGrid", content)).text("word") == 'HI "YOU"'


def test_a_grid_without_tiers_has_none(tmp_path: Path):
    path = save(tmp_path / "a.TextGrid", '"ooTextFile" "TextGrid" 0 1 <absent>')
    assert read_textgrid(path).tiers == ()


def test_a_tier_that_lacks_or_is_there_twice_is_named(tmp_path: Path):
    grid = read_textgrid(save(tmp_path / "a.TextGrid", short_form(TIERS)))
    with pytest.raises(CorpusError, match=r"a\.TextGrid.*one interval tier 'phones', not 0; it has phone, word"):
        grid.intervals("phones")
    twice = save(tmp_path / "b.TextGrid", short_form(TIERS).replace('"word"', '"phone"'))
    with pytest.raises(CorpusError, match=r"one interval tier .*, not 2"):
        read_textgrid(twice).text("phone")


SHORT = short_form(TIERS)
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "line 1"),
    "another file": (b'"ooTextFile" "PitchTier" 0 1', "not a TextGrid"),
    "audio": (b"RIFF\x00\x00\x00\x00WAVEfmt \x99", "byte"),
    "cut short": (SHORT[:-40].encode(), "line|end of the file"),
    "a text without end": (SHORT.replace('"HH"', '"HH').encode(), "expected a number"),
    "more intervals than there are": (
        SHORT.replace("\n4\n", "\n999999999\n").encode(),
        "expected a number, not .IntervalTier",
    ),
    "a count that is none": (SHORT.replace("\n4\n", "\n4.5\n").encode(), "line 12.*count"),
    "a count without end": (SHORT.replace("\n4\n", "\n" + "9" * 5000 + "\n").encode(), "line 12.*count"),
    "an interval backwards": (SHORT.replace("0.3\n0.45", "0.5\n0.45").encode(), "line 20.*interval"),
    "an interval without end": (SHORT.replace("0.3\n0.45", "0.3\n1e999").encode(), "interval"),
    "another tier": (SHORT.replace("IntervalTier", "FormantTier").encode(), "FormantTier"),
    "half of UTF-16": ("\ufeff".encode("utf-16-le") + SHORT.encode("utf-16-le")[:-1], "UTF-16"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_one_error_that_names_it(tmp_path: Path, case: str):
    content, problem = BROKEN[case]
    path = tmp_path / "a.TextGrid"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=problem) as error:
        read_textgrid(path)
    assert "a.TextGrid" in str(error.value)


def test_bit_rot_is_an_error_or_harmless_but_nothing_else(tmp_path: Path):
    path = tmp_path / "a.TextGrid"
    for form in FORMS.values():
        for encoding in ("utf-8", "utf-16"):
            path.write_bytes(form(TIERS).encode(encoding))
            assert refusals(path, lambda: read_textgrid(path)) > 30


@pytest.mark.parametrize("content", ['"' * 200_001, '"" ' * 70_000, "! " * 100_000, "9" * 200_000, "<exists" * 30_000])
def test_a_hostile_file_does_not_hang(tmp_path: Path, content: str):
    with pytest.raises(CorpusError):
        read_textgrid(save(tmp_path / "a.TextGrid", content))


def test_times_that_cannot_be_those_of_the_audio_are_named(tmp_path: Path):
    grid = read_textgrid(save(tmp_path / "a.TextGrid", long_form(TIERS)))
    assert grid.check_times(0.55) is grid  # an aligner's last frame
    with pytest.raises(CorpusError, match=r"a\.TextGrid: ends at 0\.60 s, its audio at 0\.30 s"):
        grid.check_times(0.3)
    cut = save(tmp_path / "cut.TextGrid", short_form(TIERS).replace("0.0125\n0.6\n<exists>", "7.5\n8.1\n<exists>"))
    with pytest.raises(CorpusError, match=r"cut\.TextGrid: begins at 7\.50 s.*Shift to zero"):
        read_textgrid(cut).check_times(10)


FOREIGN = {
    "binary": (
        b"ooBinaryFile\x08TextGrid\0\0",
        "a binary TextGrid; open it in Praat and choose Save > Save as text file",
    ),
    "chronological": (
        b'"Praat chronological TextGrid text file"\n0 0.6   ! Time domain.\n1   ! Number of tiers.\n',
        "a chronological TextGrid; open it in Praat and choose Save > Save as text file",
    ),
    "Latin-1": (short_form({"w": [(0, 0.6, "M\u00e4dchen")]}).encode("latin-1"), "not text in UTF-8; in Praat"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_other_forms_of_praat_say_how_to_save_as_text(tmp_path: Path, kind: str):
    content, problem = FOREIGN[kind]
    (tmp_path / "a.TextGrid").write_bytes(content)
    with pytest.raises(CorpusError, match=problem):
        read_textgrid(tmp_path / "a.TextGrid")


def test_trigraphs_are_the_symbols_that_praat_shows(tmp_path: Path):
    spelt = {
        r"\sh": "ʃ", r"\ae": "æ", r"\i-\:f": "ɨː", r"a\~^": "ã", r"t\^h": "tʰ",
        r"\'1\o/": "ˈø", r"r\\": r"r\\", r"s\_h": r"s\_h", r"\swr": "ər",
    }  # fmt: skip
    tiers = {"phone": [(index / 20, (index + 1) / 20, label) for index, label in enumerate(spelt)]}
    grid = read_textgrid(save(tmp_path / "a.TextGrid", short_form(tiers)))
    assert [phone.label for phone in grid.intervals("phone")] == list(spelt.values())
