"""Refusals by design, checked against the file and the command line's output: a wrong one is a failure."""

import re

import media

CUT_OFF = re.compile(r"it ends after ([0-9.]+) s of ([0-9.]+) s")
SHORT = re.compile(r"it has ([0-9]+) of the ([0-9]+) bytes that its header states")
ENCRYPTED = "the input is encrypted"
# Sample entries of encrypted tracks, and the box with their keys' ids.
ENTRIES = (b"encv", b"enca")


def reason(path, said, made):
    """Why a failure is right; empty if that is not shown. `made` are the facts of the command line's output."""
    if found := CUT_OFF.search(said):
        return cut_off(path, *map(float, found.groups()), made)
    if found := SHORT.search(said):
        return short(path.read_bytes(), *map(int, found.groups()))
    if ENCRYPTED in said:
        content = path.read_bytes()
        if b"tenc" in content and any(entry in content for entry in ENTRIES):
            return "its header says that it is encrypted; the command line decodes the encrypted bytes"
    return ""


def cut_off(path, ends, states, made):
    """The header must promise what the refusal says, and the command line must lose it."""
    promised = float(media.probe(path).get("format", {}).get("duration", 0))
    got = max(made.picture_end if made.frames else 0, made.audio[1] if made.audio else 0)
    if promised >= 0.95 * states and got <= 1.05 * ends + 0.5 and got < 0.95 * promised:
        return f"cut off: the command line makes {got:.1f} of {promised:.1f} s, and does not say so"
    return ""


def short(content, found, stated):
    """The size must be in the header."""
    sizes = stated.to_bytes(8, "little"), (stated - 8).to_bytes(8, "little")[:4]
    if found == len(content) < stated and any(size in content[:4096] for size in sizes):
        return f"cut off: the file has {found} of {stated} bytes; the command line does not say so"
    return ""
