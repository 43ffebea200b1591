"""What a file holds, whatever its name says: from its first bytes."""

from pathlib import Path

_BEGINNINGS = {
    b"RIFF": "WAV audio",
    b"RF64": "WAV audio (RF64)",
    b"fLaC": "FLAC audio",
    b"OggS": "Ogg audio",
    b"ID3": "MP3 audio",
    b"FORM": "AIFF audio",
    b".snd": "AU audio",
    b"NIST_1A": "NIST SPHERE audio",
    b"ajkg": "audio compressed with shorten; decompress it with shorten -x or ffmpeg",
    b"\x1aE\xdf\xa3": "a Matroska or WebM film; convert its sound with ffmpeg",
    b"\x89HDF\r\n\x1a\n": "HDF5, such as MATLAB's files of version 7.3",
    b"MATLAB 5.0 MAT-file": "a MATLAB file (MAT v5)",
    b"MATLAB 7.3 MAT-file": "a MATLAB file of version 7.3, which is HDF5",
    b"SSFF -- (c) SHLRC": "an SSFF track",
    b"EST_File": "an EST file",
    b"AG50xDATA_V": "positions or amplitudes of an articulograph",
    b"ooBinaryFile": "a binary file of Praat; save it as text: Save > Save as text file",
    b"PK\x03\x04": "a ZIP archive, which .npz, .xlsx and PyTorch files are too",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"%PDF": "a PDF document",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch it with git lfs pull",
    b"<!DOCTYPE html": "a web page, not the file itself; download it again",
    b"<html": "a web page, not the file itself; download it again",
}
_NUM_BYTES = 600


def kind_of_content(path: Path) -> str | None:
    """Return in words what a regular file holds; ``None`` if its beginning is not known, or it cannot be read."""
    try:
        with open(path, "rb") as file:
            start = file.read(_NUM_BYTES)
    except OSError:
        return None
    if not start:
        return "nothing (0 bytes)"
    if start[4:8] == b"ftyp":
        return "MPEG-4 audio or film (.m4a, .mp4); convert it with ffmpeg"
    if start[512:520] == b"\x89HDF\r\n\x1a\n":  # MATLAB puts a text of 512 bytes first
        return _BEGINNINGS[b"MATLAB 7.3 MAT-file"]
    return next((kind for beginning, kind in _BEGINNINGS.items() if start.startswith(beginning)), None)


def holding(path: Path, problem: str) -> str:
    """Return a problem of a file, with what the file holds instead, if that is known."""
    kind = kind_of_content(path)
    return f"{problem}; it holds {kind}" if kind else problem
