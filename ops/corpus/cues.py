"""WebVTT files: their cues, and how two lists of them differ."""

import re
from html import unescape

TIMES = re.compile(r"((?:\d+:)?\d+:\d+[.,]\d+)\s*-->\s*((?:\d+:)?\d+:\d+[.,]\d+)")
MARKUP = re.compile(r"<[^>]*>|\{\\[^}]*\}")
# Seconds by which a cue's times may differ.
TOLERANCE = 0.1


def read(path):
    """Begin, end and words of each cue, in the order of time; cues without words are left out."""
    found = []
    for block in re.split(r"\n\s*\n", path.read_text("utf-8", "replace").replace("\r\n", "\n")):
        times = TIMES.search(block)
        if times:
            _, _, words = block[times.end():].partition("\n")
            # FFmpeg's command line does not escape characters, as WebVTT requires.
            words = " ".join(unescape(MARKUP.sub("", words)).split())
            found.append((seconds(times[1]), seconds(times[2]), words))
    return sorted(cue for cue in found if cue[2])


def seconds(clock):
    total = 0.0
    for part in clock.replace(",", ".").split(":"):
        total = total * 60 + float(part)
    return total


def end(path):
    """The time at which the last cue ends."""
    return max((cue[1] for cue in read(path)), default=0.0)


def differences(ours, theirs):
    left, right = read(ours), read(theirs)
    if len(left) != len(right):
        return [f"{len(left)} / {len(right)} cues"]
    for number, (one, other) in enumerate(zip(left, right), 1):
        if one[2] != other[2]:
            return [f"cue {number} says {one[2][:60]!r} / {other[2][:60]!r}"]
        if abs(one[0] - other[0]) > TOLERANCE or abs(one[1] - other[1]) > TOLERANCE:
            return [f"cue {number} is at {one[0]:.3f}-{one[1]:.3f} / {other[0]:.3f}-{other[1]:.3f} s"]
    return []
