"""One file converted by both, and the class of the result."""

import hashlib
import re
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import NamedTuple

import command_line
import compare
import cues
import media
import refusals
from service import Ended

TRANSCODE = {"type": "transcode"}
OPERATIONS = {
    "video": [TRANSCODE | {"video_codec": "h264", "preset": "ultrafast", "audio_codec": "aac"}],
    "audio": [TRANSCODE | {"audio_codec": "aac"}],
    "image": [],
}
OPERATIONS["unknown"] = OPERATIONS["video"]
# Classes of results. M counts the files of the first four, N those of the first.
EQUAL, DIFFERS, FAILED, REFUSED = COUNTED = ("equal", "differs", "ffapi failed", "refused at upload")
ALONE, BOTH, BROKEN = "only the command line fails", "both fail", "this tool failed"
CLASSES = (*COUNTED, ALONE, BOTH, BROKEN)


def digest(path):
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@dataclass
class Result:
    file: str
    sha256: str
    kind: str
    class_of: str = ""
    detail: str = ""
    # Why this result is acceptable, from explained.json.
    explained: str = ""
    ffapi_seconds: float = 0.0
    command_line_seconds: float = 0.0
    differences: list = field(default_factory=list)

    @property
    def counts(self):
        """Whether the command line converts the file, so that ffapi is measured by it."""
        return self.class_of in COUNTED

    @property
    def equal(self):
        return self.class_of == EQUAL or self.counts and bool(self.explained)

    def as_json(self):
        return asdict(self) | {"equal": self.equal}


class Verdict(NamedTuple):
    """The class of a comparison with one version of the command line."""

    class_of: str
    detail: str = ""
    differences: list = []
    found: media.Facts | None = None  # what the command line made


def verdict(kind, found, complaint, outcome, theirs):
    if outcome.output is None:
        if not found:
            return Verdict(BOTH, f"{outcome.reason} / {complaint}")
        return Verdict(REFUSED if outcome.step == "upload" else FAILED, outcome.reason, found=found)
    if not found:
        return Verdict(ALONE, complaint)
    differences = compare.differences(kind, outcome.output, theirs, found)
    return Verdict(DIFFERS if differences else EQUAL, "; ".join(differences), differences, found)


class Trials:
    """Runs files through the service and the command line."""

    def __init__(self, service, folder, outputs, explained, keep=False):
        self.service, self.folder, self.outputs, self.explained = service, Path(folder), Path(outputs), explained
        self.keep = keep  # both outputs of each file
        self.clips, self.lock = {}, threading.Lock()

    def run(self, number, path):
        result = Result(str(path), digest(path), media.kind_of(path))
        name = f"{number:05}-{re.sub('[^A-Za-z0-9._-]', '_', path.stem)[:60]}"
        try:
            self.convert(path, result, name)
        except Ended:
            raise
        except Exception as error:  # One odd file does not end a long run.
            result.class_of, result.detail = BROKEN, f"{type(error).__name__}: {error}"
        result.explained = result.explained or self.explained.reason(path, result)
        return result

    def convert(self, path, result, name):
        """Lets both convert the file, and compares. A second version of the command line is asked if they differ."""
        kind, suffix = result.kind, command_line.SUFFIXES[result.kind]
        ours = self.outputs / f"{name}-ours{suffix}"
        outputs, outcome, verdicts = [ours], None, []
        try:
            for number, program in enumerate(command_line.PROGRAMS):
                theirs = self.outputs / f"{name}-theirs{number or ''}{suffix}"
                outputs.append(theirs)
                start = time.monotonic()
                found, complaint = command_line.convert(path, kind, theirs, program)
                result.command_line_seconds = round(time.monotonic() - start, 3)
                outcome = outcome or self.ask(path, name, kind, ours, theirs)
                verdicts.append(verdict(kind, found, complaint, outcome, theirs))
                if verdicts[-1].class_of == EQUAL:
                    break
        finally:
            for output in () if self.keep else outputs:
                output.unlink(missing_ok=True)
        result.ffapi_seconds = round(outcome.seconds, 3)
        best = next((one for name in CLASSES for one in verdicts if one.class_of == name))
        result.class_of, result.detail, result.differences, found = best
        if result.class_of == FAILED:
            result.explained = refusals.reason(path, result.detail, found)

    def ask(self, path, name, kind, ours, theirs):
        """What ffapi makes of the file."""
        if kind == "subtitle":
            return self.words(path, name, ours, theirs)
        return self.service.convert(path, name + command_line.SUFFIXES[kind], OPERATIONS[kind], ours)

    def words(self, path, name, ours, theirs):
        """Subtitles are converted as the sidecar of a clip that is long enough for them."""
        upload, reason = self.service.upload(path)
        if upload is None:
            return self.service.refused(reason)
        clip = self.clip(cues.end(theirs) if theirs.exists() else 0)
        sidecar = {"type": "subtitles", "mode": "sidecar", "input": upload, "language": "en"}
        return self.service.convert_upload(clip, f"{name}.mp4", [sidecar], ours)

    def clip(self, seconds):
        """The upload of a black clip that is longer than this."""
        longer = next((step for step in (10, 60, 600, 3600) if step > seconds), int(seconds / 3600 + 1) * 3600)
        with self.lock:
            if longer not in self.clips:
                path = self.folder / f"clip-{longer}.mp4"
                command_line.clip(longer, path)
                self.clips[longer], reason = self.service.upload(path)
                if reason:
                    raise Ended(f"ffapi refuses a plain clip: {reason}")
            return self.clips[longer]
