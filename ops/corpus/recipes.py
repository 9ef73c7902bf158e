"""How a file of the matrix is made: a name, and a function that writes it."""

import subprocess
import tempfile
from pathlib import Path
from typing import Callable, NamedTuple

SIZE = "160x90"
SECONDS = 2


class Refused(Exception):
    """FFmpeg cannot make this combination."""


class Recipe(NamedTuple):
    name: str
    make: Callable[[Path], None]


def ffmpeg(*arguments):
    """What it writes to its standard output."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise Refused("it takes more than 60 s") from None
    if ran.returncode:
        raise Refused((ran.stderr.decode(errors="replace").strip().splitlines() or ["no words"])[-1])
    return ran.stdout


def made_by(name, *arguments):
    """A file that one command of ffmpeg makes; the arguments are those before the output's name."""
    return Recipe(name, lambda path: ffmpeg(*arguments, path))


def made_by_pipe(name, muxer, *arguments):
    """A file that ffmpeg writes to a pipe: it cannot go back and complete the header."""
    return Recipe(name, lambda path: path.write_bytes(ffmpeg(*arguments, "-f", muxer, "-")))


def made_in_steps(name, *steps):
    """A file whose last step is made from earlier ones: "{0}" is the first step's file, and so on.

    A step is its file's suffix and its arguments.
    """
    def make(path):
        with tempfile.TemporaryDirectory(prefix="ffapi-corpus-") as folder:
            files = []
            for number, (suffix, *arguments) in enumerate(steps):
                files.append(Path(folder, f"{number}{suffix}") if number + 1 < len(steps) else path)
                ffmpeg(*[argument.format(*files[:number]) if "{" in argument else argument
                         for argument in map(str, arguments)], files[-1])
    return Recipe(name, make)


def written(name, content):
    """A file with this content."""
    return Recipe(name, lambda path: path.write_bytes(content))


def pattern(seconds=SECONDS, size=SIZE, rate=25, filters=""):
    """Input arguments: a moving test image."""
    source = f"testsrc2=size={size}:rate={rate}:duration={seconds}"
    return ["-f", "lavfi", "-i", source + (f",{filters}" if filters else "")]


CHANNELS = {"mono": 1, "stereo": 2, "2.1": 3, "3.0": 3, "4.0": 4, "quad": 4, "5.0": 5, "5.1": 6, "7.1": 8}


def tone(seconds=SECONDS, rate=48000, layout="stereo"):
    """Input arguments: a tone for each channel, that audio for a quarter of each half second."""
    tones = "|".join(f"0.25*sin(2*PI*{220 + 110 * number}*t)*(0.1+lt(mod(t\\,0.5)\\,0.25))"
                     for number in range(CHANNELS[layout]))
    return ["-f", "lavfi", "-i", f"aevalsrc={tones}:sample_rate={rate}:duration={seconds}:channel_layout={layout}"]


VIDEO = {
    "h264": "-c:v libx264 -preset ultrafast -pix_fmt yuv420p",
    "hevc": "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=none",
    "av1": "-c:v libsvtav1 -preset 12 -pix_fmt yuv420p",
    "vp8": "-c:v libvpx -deadline realtime -cpu-used 8 -pix_fmt yuv420p",
    "vp9": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p",
    "prores": "-c:v prores_ks", "dnxhr": "-c:v dnxhd -profile:v dnxhr_lb -pix_fmt yuv422p",
    "theora": "-c:v libtheora", "xvid": "-c:v libxvid -pix_fmt yuv420p", "vc2": "-c:v vc2",
    "mpeg1": "-c:v mpeg1video", "mpeg2": "-c:v mpeg2video", "mpeg4": "-c:v mpeg4", "h263": "-c:v h263",
    "h263p": "-c:v h263p -s 176x144", "flv1": "-c:v flv", "dv": "-c:v dvvideo -pix_fmt yuv420p", "raw": "-c:v rawvideo",
    "mjpeg": "-c:v mjpeg -pix_fmt yuvj420p", "jpeg2000": "-c:v jpeg2000 -pix_fmt yuv420p",
    "cfhd": "-c:v cfhd -pix_fmt yuv422p10", "hap": "-c:v hap", "ljpeg": "-c:v ljpeg -pix_fmt bgr24",
} | {name: f"-c:v {name}" for name in (
    "msmpeg4", "msmpeg4v2", "wmv1", "wmv2", "rv10", "rv20", "svq1", "cinepak", "msvideo1", "flashsv", "flashsv2", "snow",
    "ffv1", "ffvhuff", "huffyuv", "utvideo", "magicyuv", "png", "qtrle", "rpza", "zmbv", "zlib", "asv1", "asv2",
    "v210", "r210", "h261", "gif", "apng", "amv")}
AUDIO = {
    "mp3": "-c:a libmp3lame", "opus": "-c:a libopus", "vorbis": "-c:a libvorbis", "speex": "-c:a libspeex -ar 16000",
    "gsm": "-c:a libgsm -ar 8000 -ac 1", "gsm_ms": "-c:a libgsm_ms -ar 8000 -ac 1", "dts": "-c:a dca -strict -2",
    "truehd": "-c:a truehd -strict -2", "mlp": "-c:a mlp -strict -2", "g722": "-c:a g722 -ar 16000 -ac 1",
    "g726": "-c:a g726 -ar 8000 -ac 1",
    "nellymoser": "-c:a nellymoser -ar 22050 -ac 1", "adpcm_swf": "-c:a adpcm_swf -ar 22050",
    "s302m": "-c:a s302m -strict -2", "real_144": "-c:a real_144 -ar 8000 -ac 1",
    "codec2": "-c:a libcodec2 -ar 8000 -ac 1",
} | {name: f"-c:a {name}" for name in (
    "aac", "ac3", "eac3", "mp2", "flac", "alac", "wmav1", "wmav2", "wavpack", "tta", "sbc", "adpcm_ms",
    "adpcm_ima_wav", "adpcm_ima_qt", "adpcm_yamaha", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_s32le",
    "pcm_f32le", "pcm_f64le", "pcm_u8", "pcm_s8", "pcm_mulaw", "pcm_alaw", "pcm_bluray", "pcm_dvd")}


def mapped(inputs):
    """Output arguments: every stream of the inputs."""
    return [word for number in range(inputs) for word in ("-map", str(number))]


def video(codec):
    return VIDEO[codec].split()


def audio(codec):
    return AUDIO[codec].split()
