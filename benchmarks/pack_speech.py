"""python benchmarks/pack_speech.py FOLDER PACKED [--megabytes 52]: speech that travels to a machine with a GPU.

FOLDER has a ``manifest.csv`` as ``corpus=audio`` reads it. PACKED gets a part of its files, within so many megabytes,
and a manifest of them. Languages share the room by their minutes to the power of 1/T, speakers of a language evenly, as
training draws them. Ogg Opus is copied as it is; anything else is encoded to Opus. With --kbits everything is encoded
anew: at 12 kbit/s twice as many hours fit, and what is lost lies above 6 kHz. Licences that ask for share-alike
are left out, so that what is trained carries no condition, unless --all-licences is given.
"""

import argparse
import csv
import os
import random
import shutil
from collections import defaultdict
from pathlib import Path

import soundfile
import soxr

RATE_HZ = 16000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--megabytes", type=float, default=52.0, help="of sound; 8 more are wheels")
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--kbits", type=float, help="per second; encode everything anew")
    parser.add_argument("--languages", nargs="*", help="these alone")
    parser.add_argument("--all-licences", action="store_true", help="share-alike, too")
    asked = parser.parse_args()
    with open(asked.folder / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    rows = [
        row
        for row in rows
        if asked.all_licences or "SA" not in row.get("licence", "").upper().replace("-", " ").split()
    ]
    rows = [row for row in rows if not asked.languages or row["language"] in asked.languages]
    chosen = chosen_within(asked.folder, rows, asked.megabytes * 1e6, asked.temperature, asked.kbits)
    asked.packed.mkdir(parents=True)
    with open(asked.packed / "manifest.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        for row in chosen:
            row["file"] = packed_file(asked.folder / row["file"], asked.packed, row["file"], asked.kbits)
            writer.writerow(row)
    size = sum(path.stat().st_size for path in asked.packed.rglob("*") if path.is_file())
    minutes = sum(float(row["seconds"]) for row in chosen) / 60
    languages = len({row["language"] for row in chosen})
    print(f"{len(chosen)} files, {minutes:.0f} minutes, {languages} languages, {size / 1e6:.1f} MB")


def chosen_within(
    folder: Path, rows: list[dict[str, str]], most_bytes: float, temperature: float, kbits: float | None
) -> list[dict[str, str]]:
    """Return rows whose files fit: each language gets its share, and what one lacks goes to the others."""
    languages: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        languages[row["language"]].append(row)
    queues = {language: in_turn(own) for language, own in languages.items()}
    weights = {
        language: sum(float(row["seconds"]) for row in own) ** (1 / temperature) for language, own in languages.items()
    }
    spent, chosen, room = dict.fromkeys(queues, 0.0), [], most_bytes
    while any(queues.values()):
        language = min((each for each in queues if queues[each]), key=lambda each: spent[each] / weights[each])
        row = queues[language].pop()
        size = os.path.getsize(folder / row["file"]) if kbits is None else float(row["seconds"]) * kbits * 125 * 1.1
        size += 200  # its line in the manifest
        if size > room:
            break
        spent[language], room = spent[language] + size, room - size
        chosen.append(row)
    return chosen


def in_turn(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    """Return rows so that speakers take turns from the end of the list."""
    speakers: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows:
        speakers[row["speaker"]].append(row)
    shuffled = random.Random(0)
    ranked = []
    for own in speakers.values():
        shuffled.shuffle(own)
        ranked += [(place, shuffled.random(), row) for place, row in enumerate(own)]
    return [row for _, _, row in sorted(ranked, key=lambda each: each[:2], reverse=True)]


def packed_file(source: Path, folder: Path, name: str, kbits: float | None) -> str:
    """Copy or encode a file; return its name in the pack."""
    copied = kbits is None and source.suffix.lower() in (".ogg", ".opus")
    target = folder / name if copied else (folder / name).with_suffix(".opus")
    target.parent.mkdir(parents=True, exist_ok=True)
    if copied:
        shutil.copyfile(source, target)
    else:
        samples, rate_hz = soundfile.read(source, dtype="float32", always_2d=True)
        mono = soxr.resample(samples[:, 0], rate_hz, RATE_HZ)
        level = 1 - ((kbits or 24) - 6) / 250  # libsndfile: 256 to 6 kbit/s for levels 0 to 1
        soundfile.write(target, mono, RATE_HZ, format="OGG", subtype="OPUS", compression_level=level)
    return target.relative_to(folder).as_posix()


if __name__ == "__main__":
    main()
