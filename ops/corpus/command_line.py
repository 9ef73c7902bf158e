"""Conversions by the ffmpeg command line: what ffapi's outputs are compared with."""

import subprocess
from pathlib import Path

import media

ROOT = Path(__file__).resolve().parents[2]
# The machine's, and one of the version of the engine's libraries, if ops/setup has installed it.
PROGRAMS = ["ffmpeg", *(str(path) for path in [ROOT / ".tools/bin/ffmpeg-judge"] if path.exists())]

SECONDS = 60
SUFFIXES = {"video": ".mp4", "audio": ".m4a", "image": ".png", "subtitle": ".vtt", "unknown": ".mp4"}
# Variable frame rate is kept, as ffapi does: by default, the command line repeats frames in mp4.
VIDEO = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-fps_mode", "vfr"]
# The pixel format that every player shows, and that ffapi writes. One pixel does not fit.
SHOWN = ["-pix_fmt", "yuv420p"]
# Covers are no part of the comparison.
AUDIO = ["-vn", "-c:a", "aac"]
OPTIONS = {"video": VIDEO, "unknown": VIDEO, "audio": AUDIO, "image": ["-frames:v", "1", "-update", "1"], "subtitle": []}
# 4:2:0 needs even sides; ffapi leaves the odd line or column out.
EVEN = ["-vf", "crop=trunc(iw/2)*2:trunc(ih/2)*2:0:0"]


def convert(path, kind, target, program="ffmpeg"):
    """The facts of its output (of subtitles, whether there are any) and no words, or None and its complaint."""
    options = OPTIONS[kind]
    ways = [options + SHOWN, options + SHOWN + EVEN, options] if options is VIDEO else [options]
    said = ""
    for way in ways:
        if EVEN[-1] in way and "divisible by 2" not in said:
            continue
        made, said = attempt(program, path, target, way)
        if made:
            break
    if made and kind == "subtitle":
        found = "-->" in target.read_text("utf-8", "replace") or None
    else:
        facts = media.facts(target) if made else None
        found = facts if facts and (facts.frames or facts.audio) else None
    if found:
        return found, ""
    return None, said.strip().splitlines()[-1] if said.strip() else "its output is empty"


def attempt(program, path, target, options):
    command = [program, *media.QUIET, "-y", "-i", f"file:{path}", *options, str(target)]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=SECONDS, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        return False, f"it takes more than {SECONDS} s"
    made = ran.returncode == 0 and target.exists() and target.stat().st_size > 0
    return made, ran.stderr


def clip(seconds, target):
    """A black clip, for subtitles to be shown with."""
    subprocess.run(["ffmpeg", *media.QUIET, "-y", "-f", "lavfi", "-i", f"color=black:size=64x36:rate=1:duration={seconds}",
                    "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", str(target)], check=True)
