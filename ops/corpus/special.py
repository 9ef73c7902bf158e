"""Clips that are odd in one container only, pixel formats, and structures of frames."""

from base64 import b64encode

from recipes import VIDEO, audio, made_by, made_by_pipe, made_in_steps, mapped, pattern, tone, video

# Codec and container, and the pixel formats that are tried.
PIXELS = [
    ("h264", "mp4", "yuv420p10le yuv422p yuv422p10le yuv444p yuv444p10le gray gray10le nv12"),
    ("libx264rgb", "mkv", "rgb24 bgr0"),
    ("hevc", "mp4", "yuv420p10le yuv420p12le yuv422p10le yuv444p gray gbrp gbrp10le"),
    ("vp9", "webm", "yuv422p yuv444p yuv420p10le yuv444p12le gbrp yuva420p"),
    ("vp8", "webm", "yuva420p"),
    ("av1", "mp4", "yuv420p10le"),
    ("prores", "mov", "yuv422p10le yuv444p10le yuva444p10le"),
    ("ffv1", "mkv", "yuv411p yuv410p yuv440p yuv420p16le gray gray16le bgr0 bgra yuva444p gbrp12le"),
    ("png", "mov", "pal8 rgb24 rgba gray ya8 rgb48be gray16be monob"),
    ("qtrle", "mov", "rgb24 argb rgb555be gray"),
    ("raw", "avi", "bgr24 pal8 uyvy422 yuyv422 gray rgb555le monob"),
    ("raw", "nut", "rgba yuv444p16le gbrp gray12le"),
    ("utvideo", "avi", "gbrp yuv422p gbrap"),
    ("huffyuv", "avi", "rgb24 bgra yuv422p"),
    ("mjpeg", "avi", "yuvj420p yuvj422p yuvj444p"),
    ("mpeg2", "mpg", "yuv422p"),
    ("zmbv", "avi", "pal8 bgr0"),
]
FULL_RANGE = [("h264", "mp4"), ("h264", "mkv"), ("hevc", "mp4"), ("vp9", "webm"), ("ffv1", "mkv")]
STRUCTURES = {
    "open-gop": "-x264-params open-gop=1:keyint=12:bframes=3", "pyramid": "-bf 5 -x264-params b-pyramid=normal:keyint=25",
    "intra-refresh": "-x264-params intra-refresh=1:keyint=12", "no-key-frames": "-g 999", "slices": "-slices 4",
    "lossless": "-qp 0", "baseline": "-profile:v baseline",
    "hrd": "-x264-params nal-hrd=cbr -b:v 400k -maxrate 400k -bufsize 400k",
    "bt2020": "-colorspace bt2020nc -color_primaries bt2020",
    "bt709": "-colorspace bt709 -color_primaries bt709 -color_trc bt709", "smpte240m": "-colorspace smpte240m",
}
BRANDED = {
    "fragmented": "-movflags frag_keyframe+empty_moov -g 12", "one-fragment": "-movflags empty_moov+default_base_moof",
    "cmaf": "-movflags cmaf+frag_keyframe", "dash": "-movflags dash -frag_duration 500000", "faststart": "-movflags faststart",
    "no-edit-list": "-use_editlist 0", "negative-cts": "-movflags negative_cts_offsets -bf 2",
    "timecode": "-timecode 01:00:00:00",
    "large-timescale": "-video_track_timescale 1000000",
}
# Written to a pipe, so that the container has no lengths and no index.
PIPED = [("mkv.mkv", "matroska", "h264 aac"), ("webm.webm", "webm", "vp9 opus"), ("avi.avi", "avi", "mpeg4 mp3"),
         ("flv.flv", "flv", "flv1 mp3"), ("ogv.ogv", "ogg", "theora vorbis"), ("wmv.wmv", "asf", "wmv2 wmav2"),
         ("wav.wav", "wav", "pcm_s16le"), ("flac.flac", "flac", "flac"), ("mp3.mp3", "mp3", "mp3"), ("ogg.ogg", "ogg", "opus"),
         ("au.au", "au", "pcm_s16be")]
FFMETADATA = b";FFMETADATA1\ntitle=Title\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1000\ntitle=One\n" \
             b"[CHAPTER]\nTIMEBASE=1/1000\nSTART=1000\nEND=9000\ntitle=Two\n"


def recipes():
    yield from pixels()
    for name, more in STRUCTURES.items():
        yield made_by(f"mp4--{name}.mp4", *clip(), *coded(), *more.split())
    for name, more in BRANDED.items():
        for family in ("mp4", "mov"):
            yield made_by(f"{family}--{name}.{family}", *clip(), *coded(), *more.split())
    yield from turned()
    yield from companions()
    yield from structures_of_containers()
    for name, muxer, codecs in PIPED:
        inputs = clip() if len(codecs.split()) == 2 else tone()
        coders = [word for codec in codecs.split() for word in (video(codec) if codec in VIDEO else audio(codec))]
        yield made_by_pipe(f"{name.partition('.')[0]}--piped.{name.partition('.')[2]}", muxer, *inputs, *coders)


def clip():
    return [*pattern(), *tone()]


def coded():
    return [*video("h264"), *audio("aac")]


def pixels():
    for codec, suffix, formats in PIXELS:
        coder = ["-c:v", codec] if codec.startswith("lib") else video(codec)
        for pixel in formats.split():
            more = ["-auto-alt-ref", "0"] if codec in ("vp8", "vp9") and pixel.startswith("yuva") else []
            if codec == "prores":
                more = ["-profile:v", "4444"] if "444" in pixel else []
            yield made_by(f"pixels_{codec}_{pixel}.{suffix}", *pattern(1, filters=alpha(pixel)), *coder, *more,
                          "-pix_fmt", pixel)
    for codec, suffix in FULL_RANGE:
        yield made_by(f"pixels_{codec}_full-range_{suffix}.{suffix}", *pattern(1, filters="scale=out_range=pc"),
                      *video(codec), "-color_range", "pc")


def alpha(pixel):
    """Images that are half transparent on the left, where the format can store that."""
    transparent = pixel.startswith(("yuva", "rgba", "bgra", "argb", "gbrap", "ya8"))
    return "format=rgba,geq=r='r(X,Y)':g='g(X,Y)':b='b(X,Y)':a='if(lt(X,80),128,255)'" if transparent else ""


def turned():
    for degrees in (90, 180, 270):
        for family in ("mp4", "mov"):
            yield made_in_steps(f"{family}--turned-{degrees}.{family}", (".mp4", *clip(), *coded()),
                                (f".{family}", "-i", "{0}", "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}"))
    yield made_in_steps("mp4--turned-and-wide-pixels.mp4", (".mp4", *pattern(filters="setsar=4/3"), *tone(), *coded()),
                        (".mp4", "-i", "{0}", "-c", "copy", "-metadata:s:v:0", "rotate=90"))


def companions():
    """Clips and audio with covers, attachments, chapters and data streams."""
    for suffix, codec in (("mp3", "mp3"), ("m4a", "aac"), ("flac", "flac")):
        yield made_by(f"cover_{suffix}.{suffix}", *tone(), *pattern(0.04), *mapped(2), *audio(codec), "-c:v",
                      "mjpeg", "-pix_fmt", "yuvj420p", "-disposition:v:0", "attached_pic")
    yield made_by("cover_mp4.mp4", *clip(), *pattern(0.04), *mapped(3), *coded(), "-c:v:1", "png",
                  "-disposition:v:1", "attached_pic")
    chapters = "data:text/plain;base64," + b64encode(FFMETADATA).decode()
    for suffix in ("mp4", "mov", "mkv"):
        yield made_by(f"chapters_{suffix}.{suffix}", *clip(), "-f", "ffmetadata", "-i", chapters,
                      "-map_metadata", "2", *mapped(2), *coded())
    yield made_in_steps("attachment_mkv.mkv", (".txt", "-f", "ffmetadata", "-i", chapters, "-f", "ffmetadata"),
                        (".mkv", *clip(), *coded(), "-attach", "{0}", "-metadata:s:t", "mimetype=text/plain"))
    for suffix in ("mkv", "mp4", "ts"):
        yield made_by(f"tags_{suffix}.{suffix}", *clip(), *coded(), "-metadata", "title=Ünïcödé ✓ 日本",
                      "-metadata", "comment=" + "x" * 5000, "-metadata:s:a:0", "language=ger")


def structures_of_containers():
    fields = pattern(size="160x96", rate=50, filters="tinterlace=interleave_bottom,setfield=bff")
    yield made_by("mp4--bottom-field-first.mp4", *fields, *tone(), *coded(), "-flags", "+ilme+ildct", "-x264-params", "bff=1")
    yield made_by("mkv--live.mkv", *clip(), *coded(), "-live", "1")
    yield made_by("webm--dash.webm", *pattern(), *video("vp9"), "-dash", "1")
    yield made_by("mkv--short-clusters.mkv", *clip(), *coded(), "-write_crc32", "0", "-cluster_time_limit", "300")
    yield made_by("avi--packed-b-frames.avi", *clip(), *video("mpeg4"), *audio("mp3"), "-bf", "2")
    yield made_by("ts--192-byte-packets.ts", *clip(), *coded(), "-mpegts_m2ts_mode", "1")
    yield made_by("ts--latm.ts", *clip(), *coded(), "-mpegts_flags", "latm")
    yield made_by("ts--two-programs.ts", *clip(), *pattern(size="96x64"), *coded(), *mapped(3), "-program",
                  "title=A:st=0:st=1", "-program", "title=B:st=2")
    yield made_by("ts--constant-rate.ts", *clip(), *coded(), "-muxrate", "2000k")
    yield made_by("ts--wraps.ts", *clip(), *coded(), "-output_ts_offset", "95442")
    yield made_by("flv--no-lengths.flv", *clip(), *video("flv1"), "-c:a", "libmp3lame", "-ar", "44100", "-flvflags",
                  "no_duration_filesize")
