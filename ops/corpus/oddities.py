"""What is odd in real files, in each container that clips come in."""

from base64 import b64encode

from containers import BY_NAME
from recipes import Recipe, audio, ffmpeg, made_by, made_in_steps, mapped, pattern, tone, video

FAMILIES = [BY_NAME[name] for name in "mp4 mov mkv webm avi ts m2ts mpg flv 3gp wmv ogv mxf nut".split()]
LAYOUTS = ("mono", "3.0", "quad", "5.1", "7.1")
RATES = (8000, 22050, 44100)
# Subtitle codecs by container.
WORDS = {"mp4": "mov_text", "mov": "mov_text", "mkv": "srt", "webm": "webvtt"}
LONG_WORDS = b"WEBVTT\n\n00:00.500 --> 00:01.500\nFirst\n\n00:02.000 --> 00:08.000\nLonger than the clip\n"
VARIABLE = {"variable-rate": "select='not(mod(n\\,7))+lt(mod(n\\,9)\\,2)'", "slides": "select='not(mod(n\\,25))'"}


def recipes():
    for target in FAMILIES:
        for oddity, arguments in [*lengths(target), *starts(target), *tracks(target), *audio_oddities(target), *shapes(target),
                                  *rates(target)]:
            yield made_by(f"{target.name}--{oddity}{target.suffix}", *arguments, *target.more)
        yield cut(target)
        if target.name in WORDS:
            yield words(target)
    for name in ("ts", "m2ts", "mpg"):
        yield joined(BY_NAME[name])


def clip(target, seconds=2, heard=2, size=None, rate=25, filters=""):
    return [*pattern(seconds, size or target.size, rate, filters), *tone(heard, target.rate)]


def coded(target):
    return [*video(target.video[0]), *audio(target.audio[0])]


def lengths(target):
    yield "video-ends-early", [*clip(target, 1.2, 2.4), *coded(target)]
    yield "audio-ends-early", [*clip(target, 2.4, 1.2), *coded(target)]
    yield "audio-a-bit-longer", [*clip(target, 2, 2.2), *coded(target)]
    yield "one-frame", [*pattern(0.04, target.size), *video(target.video[0])]
    yield "one-frame-with-audio", [*clip(target, 0.04, 1), *coded(target)]


def starts(target):
    yield "audio-starts-late", [*pattern(size=target.size), "-itsoffset", "0.5", *tone(1.5, target.rate), *coded(target)]
    yield "video-starts-late", [*tone(rate=target.rate), "-itsoffset", "0.5", *pattern(1.5, target.size), *coded(target)]
    for seconds in ("0.5", "5", "30"):
        yield f"starts-at-{seconds}", [*clip(target), *coded(target), "-output_ts_offset", seconds]


def tracks(target):
    yield "video-only", [*pattern(size=target.size), *video(target.video[0])]
    yield "audio-only", [*tone(rate=target.rate), *audio(target.audio[0])]
    yield "two-audio-tracks", [*clip(target), *tone(2.8, target.rate, "mono"), *coded(target), *mapped(3),
                               "-metadata:s:a:1", "language=ger"]
    yield "audio-first", [*clip(target), *coded(target), "-map", "1", "-map", "0"]
    yield "two-videos", [*clip(target), *pattern(2.5, target.size), *coded(target), *mapped(3)]


def audio_oddities(target):
    for layout in LAYOUTS:
        yield f"audio-{layout}", [*pattern(size=target.size), *tone(rate=target.rate, layout=layout), *coded(target)]
    for rate in RATES:
        yield f"audio-{rate}-hz", [*pattern(size=target.size), *tone(rate=rate), *coded(target)]


def shapes(target):
    yield "pixels-64-45", [*clip(target, filters="setsar=64/45"), *coded(target)]
    yield "pixels-4-3", [*clip(target, filters="setsar=4/3"), *coded(target)]
    yield "odd-size", [*clip(target, size="127x71"), *coded(target)]
    yield "tall", [*clip(target, size="72x128"), *coded(target)]
    # Two fields in 4:2:0 need a height that is a multiple of 4.
    fields = clip(target, size=target.size.replace("90", "96"), rate=50, filters="tinterlace=interleave_top,setfield=tff")
    yield "interlaced", [*fields, *coded(target), "-flags", "+ilme+ildct", "-field_order", "tt", "-top", "1"]


def rates(target):
    for name, filters in VARIABLE.items():
        yield name, [*clip(target, 2.9, 3, filters=filters), *coded(target), "-fps_mode", "vfr"]
    for name, rate in (("1-fps", 1), ("ntsc", "30000/1001"), ("60-fps", 60)):
        yield name, [*clip(target, rate=rate), *coded(target)]
    yield "only-key-frames", [*clip(target), *coded(target), "-g", "1"]
    yield "b-frames", [*clip(target), *coded(target), "-bf", "2", "-g", "12"]


def cut(target):
    """Begins amid a group of images, as a copied cut does."""
    return made_in_steps(f"{target.name}--cut{target.suffix}",
                         (target.suffix, *clip(target, 3, 3), *coded(target), "-g", "20", *target.more),
                         (target.suffix, "-ss", "1.1", "-i", "{0}", "-map", "0", "-c", "copy", *target.more))


def words(target):
    """A subtitle track that is longer than the clip."""
    text = "data:text/vtt;base64," + b64encode(LONG_WORDS).decode()
    return made_by(f"{target.name}--longer-subtitles{target.suffix}", *clip(target), "-i", text, *coded(target), "-c:s",
                   WORDS[target.name])


def joined(target):
    """Two recordings one after the other: time stamps start again."""
    def make(path):
        ffmpeg(*clip(target, 1.5, 1.5), *coded(target), *target.more, path)
        content = path.read_bytes()
        path.write_bytes(content + content)
    return Recipe(f"{target.name}--joined{target.suffix}", make)
