"""Pages and videos of moving articulators: what they draw, how they are used, and that they cannot do harm."""

import csv
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from head_files import noise

from tractprobe.corpora.utterance import Phone
from tractprobe.inversion.film import Film
from tractprobe.inversion.outline import outline_of
from tractprobe.inversion.palette import DARK, LIGHT, LINES, NAMES, ON_GROUND
from tractprobe.inversion.player import player
from tractprobe.inversion.tables import write_csv, write_phone_csv
from tractprobe.inversion.video import require_video, write_video
from tractprobe.signals.channels import ARTICULATORS, CHANNELS
from tractprobe.signals.track import Track
from tractprobe.system.errors import ConfigError, CorpusError

PHONE_WIDTH = 375 - 2 * 16
PLACES = np.array([[10, 5], [22, 8], [32, 2], [35, -8], [45, 2], [44, -10]], float)


def moving(duration_s: float = 1.0, start_s: float = 0.0, radius_mm: float = 3.0) -> Track:
    """Articulators on circles about places of a mouth; the upper lip is lost in the second half."""
    times_s = np.arange(round(duration_s * 100)) / 100
    circles = np.stack([np.cos(6 * times_s), np.sin(6 * times_s)], axis=1)[:, None] * radius_mm
    values = (PLACES + circles).reshape(len(times_s), -1)
    values[len(values) // 2 :, CHANNELS.index("ul_x")] = np.nan
    return Track(values, 100.0, start_s)


def looked_at(
    page: str,
    folder: Path,
    *actions: tuple[str, dict[str, Any]],
    at_s: float = 0.25,
    width: int = 800,
    address: str = "",
) -> list[dict[str, Any]]:
    """Run a page's own script without a browser; return what it shows at first and after each action."""
    if not shutil.which("node"):
        pytest.skip("no node")
    (folder / "p.html").write_text(page, encoding="utf-8")
    line = ["node", REPOSITORY / "tests/page_in_node.js", folder / "p.html", str(at_s), str(width), json.dumps(actions)]
    return json.loads(subprocess.run([*line, address], capture_output=True, text=True, check=True).stdout)


def key(name: str, on: str = "document", **more: Any) -> tuple[str, dict[str, Any]]:
    return "document keydown", {"key": name, "on": on, **more}


def texts(drawn: list[list[Any]]) -> list[str]:
    return [given[1] for given in drawn if given[0] == "fillText"]


class Elements(HTMLParser):
    """What a browser would take for elements."""

    def __init__(self, page: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{data}}\u2028"


def test_a_page_loads_nothing_and_takes_no_text_for_markup():
    page = player(Film.of(moving()), noise(1), HOSTILE, HOSTILE, [Phone(HOSTILE, 0.1, 0.5)])
    tags = Elements(page).tags
    scripts = [attributes.get("id") for tag, attributes in tags if tag == "script"]
    assert scripts == ["data", "points", "predicted", "audio", None]
    assert not [tag for tag, _ in tags if tag in ("img", "link", "iframe", "object")]
    assert not [value for _, attributes in tags for name, value in attributes.items() if name in ("src", "href")]
    assert not re.search(r"https?://", page)
    policy = next(a["content"] for tag, a in tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None and policy.startswith("default-src 'none'")


def test_what_cannot_be_printed_is_an_escape(tmp_path: Path):
    """Half a surrogate pair, as a head file's JSON may hold it, and a mark that turns the direction of writing."""
    page = player(Film.of(moving()), noise(1), "t\ud800", "fitted on \u202eabc", [Phone("\ud800", 0.1, 0.5)])
    assert rb"<h1>t\ud800</h1>" in page.encode() and r"fitted on \u202eabc" in page
    assert looked_at(page, tmp_path)[0]["clock"] == "0.25 / 1.00 s"


def test_a_page_draws_the_points_where_they_are_and_moves(tmp_path: Path):
    track = moving()
    page = player(Film.of(track), noise(1), "t", "", [Phone("a", 0.2, 0.3)])
    first, moved = looked_at(page, tmp_path, ("wave pointerdown", {"offsetX": 400, "pointerId": 1}))
    dots = np.array([given[1:3] for given in first["drawn"]["plane"] if given[0] == "arc"])
    expected = track.values[25].reshape(6, 2)
    assert dots.shape == (6, 2)
    # From mm to pixels both axes have one scale, y turned upside down.
    scale = np.diff(dots[[0, 4], 0])[0] / np.diff(expected[[0, 4], 0])[0]
    np.testing.assert_allclose(dots[:, 0] - dots[0, 0], scale * (expected[:, 0] - expected[0, 0]), atol=0.3)
    np.testing.assert_allclose(dots[:, 1] - dots[0, 1], -scale * (expected[:, 1] - expected[0, 1]), atol=0.3)
    assert {"tip", "upper lip", "x (mm), front →", "y (mm)", "schematic, not measured", "a"} <= set(
        texts(first["drawn"]["plane"])
    )
    assert moved["clock"].startswith("0.50 / 1.00 s")  # a press in the middle of the waveform
    later = texts(moved["drawn"]["plane"])
    assert "upper lip" not in later and "a" not in later and "tip" in later


def test_the_axes_say_where_a_point_is(tmp_path: Path):
    (shown,) = looked_at(player(Film.of(moving()), noise(1), "t"), tmp_path)
    plane, wave = shown["drawn"]["plane"], shown["drawn"]["wave"]
    x_marks = {float(g[1]): g[2] for g in plane if g[0] == "fillText" and g[4]["textAlign"] == "center" and g[3] > 300
               and re.fullmatch(r"-?\d+", g[1])}  # fmt: skip
    (one, x_one), *_, (other, x_other) = sorted(x_marks.items())
    tip = [given[1:3] for given in plane if given[0] == "arc"][ARTICULATORS.index("tt")]
    expected = moving().values[25, CHANNELS.index("tt_x")]
    assert one + (tip[0] - x_one) / (x_other - x_one) * (other - one) == pytest.approx(expected, abs=0.1)
    marks = [(float(g[1]), g[2]) for g in wave if g[0] == "fillText" and re.fullmatch(r"[\d.]+", g[1])]
    assert len(marks) > 4 and "time (s)" in texts(wave)
    for time_s, x in marks[1:-1]:
        assert x == pytest.approx(800 * time_s)


def test_nothing_is_drawn_where_nothing_was_measured(tmp_path: Path):
    """A track that starts after the audio, and ends before it."""
    page = player(Film.of(moving(0.5, start_s=0.25)), noise(1), "t")

    def drawn(at_s: float) -> int:
        return sum(given[0] == "arc" for given in looked_at(page, tmp_path, at_s=at_s)[0]["drawn"]["plane"])

    assert [drawn(at_s) for at_s in (0.1, 0.24, 0.4, 0.76, 0.9)] == [0, 6, 6, 5, 0]
    film = Film.of(moving(0.5, start_s=0.25))
    assert [film.frame_at(at_s) for at_s in (0.1, 0.24, 0.4, 0.76, 0.9)] == [None, 0, 15, 49, None]


def test_a_phone_that_a_spreadsheet_would_compute_stays_a_label(tmp_path: Path):
    phones = [Phone("=cmd()", 0.1, 0.3), Phone("-", 0.3, 0.5), Phone("@", 0.5, 0.6)]
    write_csv(tmp_path / "t.csv", moving(), ["mm"] * 12, phones)
    write_phone_csv(tmp_path / "p.csv", moving(), ["mm"] * 12, phones)
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        assert {row["phone"] for row in csv.DictReader(file)} == {"", "'=cmd()", "-", "@"}
    with open(tmp_path / "p.csv", newline="", encoding="utf-8") as file:
        assert [row["phone"] for row in csv.DictReader(file)] == ["'=cmd()", "-", "@"]


# How it is used.


def test_space_plays_whatever_has_the_focus_and_leaves_to_controls_what_is_theirs(tmp_path: Path):
    page = player(Film.of(moving()), noise(1), "t")
    actions = [
        key(" "), key(" ", "seek"), key(" ", "seek", repeat=True), key(" ", "flip"), key(" ", "speed"),
        key(" ", ctrlKey=True), key(" ", "wave"),
    ]  # fmt: skip
    states = looked_at(page, tmp_path, *actions)
    assert [state["playing"] for state in states] == [False, True, False, False, False, False, False, True]
    assert [state["button"] for state in states[:3]] == ["play", "pause", "play"]
    assert [state["prevented"] for state in states[1:]] == [True, True, True, False, False, False, True]


def test_arrows_step_also_on_the_slider_which_says_the_time(tmp_path: Path):
    page = player(Film.of(moving(3)), noise(3), "t", "", [Phone("a", 1.2, 1.3)])
    actions = [
        key("ArrowRight"), key("ArrowLeft", shiftKey=True), key("ArrowRight", "seek"), key("PageUp", "seek"),
        key("PageUp"), key("Home", "seek"), key("End", "seek"), key("ArrowLeft", "speed"), key("x"),
    ]  # fmt: skip
    states = looked_at(page, tmp_path, *actions)
    times_s = [state["timeS"] for state in states]
    assert times_s == pytest.approx([0.25, 0.27, 0.17, 0.19, 1.19, 1.19, 0, 3, 3, 3])
    assert [state["prevented"] for state in states[1:]] == [True] * 4 + [False, True, True, False, False]
    assert states[0]["valueText"] == "0.25 seconds"
    assert looked_at(page, tmp_path, at_s=1.25)[0]["valueText"] == "1.25 seconds, a"


def test_a_control_used_by_mouse_gives_the_keyboard_back(tmp_path: Path):
    page = player(Film.of(moving()), noise(1), "t")
    by_mouse = [("document pointerdown", {"pointerType": "mouse"}), ("flip click", {}), key(" ")]
    states = looked_at(page, tmp_path, *by_mouse)
    assert states[-1]["playing"] and states[2]["hash"] == "#flip"


def test_left_and_right_are_flipped(tmp_path: Path):
    page = player(Film.of(moving()), noise(1), "t")
    shown, flipped, again = looked_at(page, tmp_path, ("flip click", {}), ("flip click", {}))

    def dots(state: dict[str, Any]) -> np.ndarray:
        return np.array([given[1:3] for given in state["drawn"]["plane"] if given[0] == "arc"])

    middle = (40 + 800 - 10) / 2
    np.testing.assert_allclose(dots(flipped)[:, 0] - middle, middle - dots(shown)[:, 0])
    np.testing.assert_allclose(dots(flipped)[:, 1], dots(shown)[:, 1])
    assert "← front, x (mm)" in texts(flipped["drawn"]["plane"])
    np.testing.assert_allclose(dots(again), dots(shown))
    assert flipped["hash"] == "#flip" and again["hash"] == "#"
    (from_address,) = looked_at(page, tmp_path, address="#t=0.5&flip")
    assert from_address["timeS"] == 0.5 and "← front, x (mm)" in texts(from_address["drawn"]["plane"])


def test_dark_where_the_system_is_dark_or_the_reader_says_so(tmp_path: Path):
    page = player(Film.of(moving()), noise(1), "t")
    assert "@media (prefers-color-scheme: dark) { :root:not([data-theme=light])" in page
    assert page.count(f"--ground: {DARK['ground']}") == 2 and page.count(f"--ground: {LIGHT['ground']}") == 1
    states = looked_at(page, tmp_path, ("theme click", {}), ("theme click", {}))
    assert [state.get("theme") for state in states] == [None, "dark", "light"]
    assert [state["hash"] for state in states] == ["", "#theme=dark", "#theme=light"]
    colours = {
        given[2] for given in states[0]["drawn"]["plane"] if given[:2] in (["=", "fillStyle"], ["=", "strokeStyle"])
    }
    assert colours <= set(LIGHT.values()) and LIGHT["tt"] in colours  # none that the palette does not know


def contrast(one: str, other: str) -> float:
    """WCAG 2.2's contrast ratio."""

    def luminance(colour: str) -> float:
        channels = np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)]) / 255
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted([luminance(one), luminance(other)])
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
def test_texts_and_lines_stand_out(palette: dict[str, str]):
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for name in ON_GROUND:
        for ground in ("ground", "flesh"):
            assert contrast(palette[name], palette[ground]) >= 4.5, (name, ground)
    for name in LINES:
        assert contrast(palette[name], palette["ground"]) >= 3, name
    assert contrast(palette["ink"], palette["band"]) >= 4.5  # the phone that is heard, and buttons
    assert palette.keys() == LIGHT.keys() and set(NAMES) == set(ARTICULATORS) <= set(palette)


@pytest.mark.parametrize("width", [PHONE_WIDTH, 800])
def test_no_two_texts_overlap(tmp_path: Path, width: int):
    """Crowded points, many phones, and a name without end."""
    phones = [Phone("ʈʂʰ"[: 1 + k % 3], 0.1 * k, 0.1 * (k + 1)) for k in range(26)] + [Phone("x" * 300, 2.6, 3)]
    film = Film.of(moving(3, radius_mm=6), predicted=moving(3, radius_mm=2))
    page = player(film, noise(3), "t", "", phones)
    steps = [("seek input", {}), *(key("ArrowRight", shiftKey=True) for _ in range(28))]
    for state in looked_at(page, tmp_path, *steps[1:], width=width, at_s=0.05):
        for canvas in ("plane", "wave"):
            boxes = [_box(*given[1:]) for given in state["drawn"][canvas] if given[0] == "fillText"]
            assert len(boxes) > 8, boxes
            for box in boxes:
                assert box[0] >= -1 and box[2] <= width + 1, box
            for one, other in combinations(boxes, 2):
                apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
                assert apart, (state["timeS"], one, other)


def _box(text: str, x: float, y: float, state: dict[str, Any]) -> tuple[float, float, float, float, str]:
    """Left, top, right and bottom of a text, of letters as wide as the harness says."""
    size = float(re.search(r"(\d+)px", state["font"])[1])  # type: ignore[index]
    long = 0.6 * size * len(text)
    left = x - {"left": 0, "center": long / 2, "right": long}[state["textAlign"]]
    return left, y - 0.75 * size, left + long, y + 0.2 * size, text


def test_phones_stand_along_the_wave_where_there_is_room(tmp_path: Path):
    phones = [Phone("a", 0.1, 0.3), Phone("tʃ", 0.3, 0.31), Phone("o", 0.31, 0.5)]
    (shown,) = looked_at(player(Film.of(moving()), noise(1), "t", "", phones), tmp_path, at_s=0.4)
    named = {given[1]: given[2] for given in shown["drawn"]["wave"] if given[0] == "fillText"}
    assert named["a"] == pytest.approx(160) and named["o"] == pytest.approx(324) and "tʃ" not in named


def test_of_a_long_recording_the_wave_shows_the_part_that_is_heard(tmp_path: Path):
    page = player(Film.of(moving(30)), noise(30), "t", "", [Phone("a", 20, 20.5)])
    first, middle, same = looked_at(
        page, tmp_path, ("whole pointerdown", {"offsetX": 400, "pointerId": 1}), key("ArrowRight"), at_s=0
    )
    assert first["timeS"] == 0 and middle["timeS"] == pytest.approx(15) and not first["wholeHidden"]

    def seconds(state: dict[str, Any]) -> list[float]:
        return [float(text) for text in texts(state["drawn"]["wave"]) if re.fullmatch(r"[\d.]+", text)]

    assert max(seconds(first)) < 6 and 10 < min(seconds(middle)) and max(seconds(middle)) < 21
    assert seconds(same) == seconds(middle)  # it turns pages and does not slide
    assert looked_at(player(Film.of(moving(3)), noise(3), "t"), tmp_path)[0]["wholeHidden"]


def test_a_page_is_little_larger_than_its_sound():
    film = Film.of(moving(20), predicted=moving(20))
    page, sound = player(film, noise(20), "t"), 20 * 16000 * 2
    assert len(page) < 1.34 * (sound + 2 * 20 * 100 * 12 * 2) + 40_000


# What is around the points.


def test_a_film_shows_what_there_is():
    film = Film.of(moving(), 100)
    left, right, bottom, top = film.bounds
    known = film.points[np.isfinite(film.points).all(axis=2)]
    assert (known > [left, bottom]).all() and (known < [right, top]).all()
    assert len(film.trail(50)) == 11 and len(film.trail(3)) == 4
    curve = film.tongue(film.points[0])
    for place in range(3):  # through the points
        assert np.abs(curve - film.points[0, place]).sum(axis=1).min() < 1e-9
    with pytest.raises(CorpusError, match="no articulator"):
        Film.of(Track(np.zeros((10, 1)), 100.0, channels=("LA",)), 25)


def test_a_few_wild_samples_neither_shrink_the_mouth_nor_blur_it(tmp_path: Path):
    track = moving(20)
    track.values[7, CHANNELS.index("tt_x")] = 3000.0
    track.values[9] = 1e30
    pages = [player(Film.of(each), noise(1), "t") for each in (moving(20), track)]
    before, wild = (looked_at(page, tmp_path)[0]["drawn"]["plane"] for page in pages)
    for one, other in zip(*([given for given in drawn if given[0] == "arc"] for drawn in (before, wild)), strict=True):
        assert one[1:3] == pytest.approx(other[1:3], abs=0.5)


def test_predicted_points_are_open_circles_at_their_places(tmp_path: Path):
    shifted = Track(moving().values + np.tile([2.0, 0.0], 6), 100.0)
    film = Film.of(moving(), predicted=shifted)
    (shown,) = looked_at(player(film, noise(1), "t"), tmp_path)
    dots = np.array([given[1:4] for given in shown["drawn"]["plane"] if given[0] == "arc"]).reshape(6, 2, 3)
    assert dots[:, 0, 2].tolist() == [5] * 6 and dots[:, 1, 2].tolist() == [6] * 6  # open ones first
    apart = dots[:, 0, 0] - dots[:, 1, 0]
    assert apart.min() > 5 and np.ptp(apart) < 0.3
    page = player(film, noise(1), "t")
    assert '<p class="legend">' in page and "measured</span>" in page and "predicted</span>" in page
    assert "predicted</span>" not in player(Film.of(moving()), noise(1), "t")


def test_a_measured_palate_is_drawn_and_nothing_schematic(tmp_path: Path):
    palate = np.array([[0, 18], [10, 20], [25, 19], [38, 8]], float)
    film = Film.of(moving(), palate=palate)
    assert not film.outline.schematic and not film.outline.shapes
    (shown,) = looked_at(player(film, noise(1), "t"), tmp_path)
    assert "palate, measured" in texts(shown["drawn"]["plane"])
    assert "schematic, not measured" not in texts(shown["drawn"]["plane"])
    assert film.bounds[3] > 20


@pytest.mark.parametrize("size", [0.8, 1.0, 1.3])
def test_the_schematic_palate_lies_just_above_the_tongue(size: float):
    points = size * moving(3).values.reshape(-1, 6, 2) + [5, -7]
    outline = outline_of(points, ARTICULATORS)
    tongue = points[:, :3].reshape(-1, 2)
    inside = tongue[(tongue[:, 0] > outline.palate[2, 0]) & (tongue[:, 0] < outline.palate[-1, 0])]
    gap = np.interp(inside[:, 0], *outline.palate.T) - inside[:, 1]
    assert outline.schematic and 1 < gap.min() < 3
    assert outline.palate[-1, 0] < np.nanmedian(points[:, 4, 0])  # behind the upper lip
    assert [shape.point for shape in outline.shapes] == [None, "li", "ul", "ll"]


@pytest.mark.parametrize("names", [("tt",), ("td", "tb"), ("ul", "ll"), ("tb", "ll"), ("tt", "li")])
def test_a_profile_needs_no_more_points_than_there_are(names: tuple[str, ...]):
    columns = [ARTICULATORS.index(name) for name in names]
    outline = outline_of(moving().values.reshape(-1, 6, 2)[:, columns], names)
    assert np.isfinite(outline.palate).all() and bool(len(outline.palate)) == bool(set(names) & {"td", "tb", "tt"})


# Videos. imageio-ffmpeg leaves the ends of its pipes to the garbage collector.
UNCLOSED = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def library() -> Any:
    try:
        return require_video()
    except ConfigError as error:
        pytest.skip(str(error))


def frames_of(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    reader = library().read_frames(str(path))
    about = next(reader)
    return about, [np.frombuffer(frame, np.uint8).reshape(*about["size"][::-1], 3) for frame in reader]


@UNCLOSED
def test_a_video_has_moving_pictures_and_sound(tmp_path: Path):
    library()
    write_video(tmp_path / "v.mp4", Film.of(moving()), noise(1), "$x$ <b>")
    about, frames = frames_of(tmp_path / "v.mp4")
    assert about["fps"] == 25 and about["duration"] == pytest.approx(1, abs=0.1) and len(frames) == 25
    assert about["audio_codec"] == "aac" and about["codec"] == "h264"
    changed = np.abs(frames[0].astype(int) - frames[12]).max(axis=2) > 60
    assert 100 < changed.sum() < changed.size / 10
    assert [path.name for path in tmp_path.iterdir()] == ["v.mp4"]


@UNCLOSED
def test_a_video_shows_phones_and_what_is_predicted(tmp_path: Path):
    """A symbol that no font has, and a name without end, are no reason to fail or to warn."""
    library()
    phones = [Phone("a", 0.0, 0.3), Phone("\U000f0000$_\n\ud800", 0.3, 0.6), Phone("x" * 300, 0.6, 1)]
    seen = {}
    for name, film in {"alone": Film.of(moving()), "both": Film.of(moving(), predicted=moving(radius_mm=9))}.items():
        for labels in ([], phones):
            write_video(tmp_path / "v.mp4", film, noise(1), "t\n", labels)
            seen[name, bool(labels)] = frames_of(tmp_path / "v.mp4")[1][5].astype(int)
    for one, other in pairwise([seen["alone", False], seen["alone", True], seen["both", True]]):
        assert (np.abs(one - other).max(axis=2) > 60).sum() > 100


@UNCLOSED
def test_a_video_that_cannot_be_written_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    assert library()
    monkeypatch.setattr("tractprobe.inversion.video.CODEC", "none")
    with pytest.raises(CorpusError, match="ffmpeg could not write it"):
        write_video(tmp_path / "v.mp4", Film.of(moving()), noise(1), "t")
    assert not list(tmp_path.iterdir())
