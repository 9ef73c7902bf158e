"""What is in a file, as FFmpeg's tools read it."""

import json
import subprocess
from array import array
from pathlib import Path
from typing import NamedTuple

# Images are compared at this size.
WIDTH, HEIGHT = 64, 36
IMAGE = WIDTH * HEIGHT * 4
# Audio is compared by the loudness of pieces of this many samples (20 ms).
RATE, PIECE = 8000, 160
QUIET = ["-nostdin", "-v", "error"]
SUBTITLES = (".srt", ".vtt", ".ass", ".ssa", ".sub", ".smi", ".ttml", ".lrc", ".jss", ".sbv")
STILL = ("image2", "ico", "jpeg_pipe", "webp_pipe", "dpx", "fits")


def probe(path, *more):
    command = ["ffprobe", "-v", "error", "-of", "json", "-show_streams", "-show_format", *more, f"file:{path}"]
    try:
        said = subprocess.run(command, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
        return json.loads(said.stdout or b"{}")
    except (subprocess.TimeoutExpired, ValueError):
        return {}


def streams(found, kind):
    """The streams of a kind; a cover is no video."""
    return [stream for stream in found.get("streams", []) if stream.get("codec_type") == kind
            and not stream.get("disposition", {}).get("attached_pic")]


def kind_of(path):
    """`video`, `audio`, `image`, `subtitle`, or `unknown` if ffprobe finds nothing in the file."""
    if Path(path).suffix.lower() in SUBTITLES:
        return "subtitle"
    found = probe(path)
    form = found.get("format", {}).get("format_name", "")
    if streams(found, "video"):
        still = form in STILL or form.endswith("_pipe") or form in ("gif", "apng") and is_still(path)
        return "image" if still else "video"
    for kind, name in (("audio", "audio"), ("subtitle", "subtitle")):
        if streams(found, kind):
            return name
    return "unknown"


def is_still(path):
    counted = probe(path, "-count_packets").get("streams", [{}])[0]
    return int(counted.get("nb_read_packets", 1)) <= 1


class Facts(NamedTuple):
    """The measurements of an output that are compared. Times are seconds on the output's own clock."""

    size: tuple[int, int] | None  # as displayed: square pixels, turned
    frames: list[float]  # the time of each frame, in the order of display
    last_frame_lasts: float
    channels: int  # 0 without audio
    audio: tuple[float, float] | None  # begin and end
    subtitles: bool

    @property
    def picture_end(self):
        return self.frames[-1] + self.last_frame_lasts


def facts(path):
    found = probe(path, "-show_packets", "-show_entries", "packet=stream_index,pts_time,duration_time,flags")
    image = next(iter(streams(found, "video")), None)
    audio = next(iter(streams(found, "audio")), None)
    shown = times(found, image)
    heard = times(found, audio)
    return Facts(
        size=display_size(image) if image and shown else None,
        frames=[start for start, _ in shown],
        last_frame_lasts=shown[-1][1] if shown else 0.0,
        channels=int(audio.get("channels", 0)) if audio and heard else 0,
        audio=(heard[0][0], max(start + lasts for start, lasts in heard)) if heard else None,
        subtitles=bool(streams(found, "subtitle")),
    )


def times(found, stream):
    """Begin and duration of each packet of a stream that a player presents, in order."""
    if stream is None:
        return []
    return sorted((float(packet.get("pts_time", 0)), float(packet.get("duration_time", 0)))
                  for packet in found.get("packets", [])
                  if packet["stream_index"] == stream["index"] and "D" not in packet.get("flags", ""))


def display_size(stream):
    across, _, down = stream.get("sample_aspect_ratio", "1:1").partition(":")
    shape = int(across) / int(down) if int(across) and int(down) else 1.0
    size = (round(stream["width"] * shape), stream["height"])
    turned = any(int(data.get("rotation", 0)) % 180 for data in stream.get("side_data_list", []))
    return size[::-1] if turned else size


class Decoded(NamedTuple):
    images: dict[int, bytes]  # small RGBA images by number
    count: int  # of all images that can be decoded
    loudness: list[float]  # the RMS of each 20 ms of the audio, from time 0 on


def decoded(path, wanted, has_sound):
    """The images with the wanted numbers, and the loudness of the audio."""
    samples = Path(f"{path}.samples")
    command = ["ffmpeg", *QUIET, "-y", "-i", f"file:{path}"]
    if wanted:
        command += ["-map", "0:v:0", "-vf", f"scale={WIDTH}:{HEIGHT}", "-pix_fmt", "rgba", "-fps_mode", "passthrough",
                    "-f", "rawvideo", "-"]
    if has_sound:
        # Silence fills gaps.
        command += ["-map", "0:a:0", "-ac", "1", "-af", f"aresample={RATE}:async=1:min_hard_comp=0.02:first_pts=0", "-ar", str(RATE),
                    "-f", "s16le", str(samples)]
    found, count = {}, 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        while len(image := process.stdout.read(IMAGE)) == IMAGE:
            if count in wanted:
                found[count] = image
            count += 1
    heard = loudness(samples.read_bytes()) if samples.exists() else []
    samples.unlink(missing_ok=True)
    return Decoded(found, count, heard)


def loudness(samples):
    values = array("h", samples[:len(samples) // 2 * 2])
    return [(sum(value * value for value in values[at:at + PIECE]) / PIECE) ** 0.5
            for at in range(0, len(values) - PIECE + 1, PIECE)]


def is_transparent(image):
    return min(image[3::4]) < 250


def distance(one, other):
    """The mean absolute difference of two images' values over black, of 255."""
    return sum(abs(a - b) for a, b in zip(over_black(one), over_black(other))) / (WIDTH * HEIGHT * 3)


def over_black(image):
    alpha = image[3::4]
    for channel in range(3):
        for value, part in zip(image[channel::4], alpha):
            yield value * part // 255
