"""Raw streams, audio and images: files of one stream."""

from recipes import audio, made_by, pattern, tone, video

RAW = [("h264", "h264"), ("hevc", "hevc"), ("mpeg2", "m2v"), ("mpeg1", "m1v"), ("mpeg4", "m4v"), ("h263", "h263"),
       ("h261", "h261"), ("mjpeg", "mjpeg"), ("vc2", "drc"), ("av1", "obu"), ("av1", "ivf"), ("vp8", "ivf"), ("vp9", "ivf"), ("dv", "dv"),
       ("gif", "gif"), ("apng", "apng")]
RAW_SIZES = {"h263": "176x144", "h261": "176x144", "dv": "720x576"}
Y4M = "yuv420p yuv422p yuv444p gray yuv411p yuv420p10le"
# Suffix and codecs of files that have audio only.
AUDIO_FORMATS = [
    ("wav", "pcm_s16le pcm_u8 pcm_s24le pcm_s32le pcm_f32le pcm_f64le pcm_mulaw pcm_alaw adpcm_ms adpcm_ima_wav adpcm_yamaha "
            "gsm_ms g722 g726 mp3 aac ac3"),
    ("aiff", "pcm_s16be pcm_s24be pcm_mulaw pcm_s8 adpcm_ima_qt"), ("au", "pcm_s16be pcm_mulaw pcm_alaw"),
    ("caf", "pcm_s16be pcm_s16le alac opus adpcm_ima_qt"), ("w64", "pcm_s16le pcm_f32le"), ("rf64", "pcm_s16le"),
    ("mp3", "mp3"), ("mp2", "mp2"), ("aac", "aac"), ("latm", "aac"), ("m4a", "aac alac ac3"), ("m4b", "aac"),
    ("flac", "flac"),
    ("ogg", "vorbis opus flac speex"), ("oga", "flac vorbis"), ("opus", "opus"), ("spx", "speex"),
    ("mka", "aac opus flac pcm_s16le"),
    ("webm", "opus vorbis"), ("weba", "opus"), ("ac3", "ac3"), ("eac3", "eac3"), ("dts", "dts"), ("thd", "truehd"),
    ("mlp", "mlp"),
    ("wv", "wavpack"), ("tta", "tta"), ("wma", "wmav2 wmav1"), ("voc", "pcm_u8 pcm_s16le"), ("gsm", "gsm"),
    ("sbc", "sbc"), ("g722", "g722"), ("ts", "aac mp2 mp3 ac3"), ("3gp", "aac"), ("mov", "pcm_s16le aac"), ("ra", "ac3 real_144"),
    ("adx", "adpcm_adx"), ("ircam", "pcm_s16le"), ("sox", "pcm_s32le"), ("c2", "codec2"),
]
MUXERS = {"rf64": "wav", "weba": "webm", "thd": "truehd", "ra": "rm", "c2": "codec2", "m4b": "ipod"}
SOUND_RATES = [("mp3", "mp3", "8000 11025 16000 22050 24000 32000 44100"), ("aac", "aac", "8000 16000 22050 44100 96000"),
               ("flac", "flac", "8000 11025 44100 96000 192000"), ("wav", "pcm_s16le", "4000 8000 11025 44100 96000"),
               ("m4a", "aac", "8000 44100"), ("ogg", "vorbis", "8000 44100 96000"), ("opus", "opus", "8000 16000 24000")]
SOUND_LAYOUTS = [("wav", "pcm_s16le"), ("flac", "flac"), ("m4a", "aac"), ("ogg", "vorbis"), ("opus", "opus"), ("ac3", "ac3"),
                 ("aac", "aac"), ("wv", "wavpack"), ("caf", "alac")]
LAYOUTS = "mono 2.1 3.0 quad 5.0 5.1 7.1"
# Suffix, pixel formats, and what else is tried of each.
IMAGES = [
    ("png", "rgb24 rgba gray gray16be ya8 pal8 rgb48be rgba64be monob"), ("jpg", "yuvj420p yuvj422p yuvj444p gray"),
    ("webp", "yuv420p yuva420p bgra"), ("bmp", "bgr24 bgra pal8 gray rgb565le rgb555le monob"),
    ("tiff", "rgb24 rgba gray gray16le pal8 rgb48le monob yuv420p yuv444p"), ("gif", "pal8 rgb8 gray"),
    ("tga", "bgr24 bgra gray pal8 rgb555le"), ("jp2", "rgb24 gray yuv420p yuv444p rgba rgb48"), ("j2k", "rgb24"),
    ("pam", "rgb24 rgba gray monob gray16be"), ("ppm", "rgb24 rgb48be"), ("pgm", "gray gray16be"), ("pbm", "monow"),
    ("pgmyuv", "yuv420p"), ("pfm", "gbrpf32le grayf32le"), ("pcx", "rgb24 pal8 gray"), ("sgi", "rgb24 rgba gray"),
    ("ras", "bgr24 pal8 gray"), ("xbm", "monow"), ("xwd", "bgra rgb24 pal8"), ("dpx", "rgb24 gbrp10be rgb48be"),
    ("exr", "gbrpf32le grayf32le"), ("jls", "rgb24 gray"), ("jxl", "rgb24 rgba gray"), ("qoi", "rgb24 rgba"), ("ico", "bgra"),
    ("avif", "yuv420p yuv420p10le"), ("phm", "gbrpf32le"),
]
STILL_CODECS = {"avif": "-c:v libsvtav1", "jpg": "-c:v mjpeg", "ico": "-c:v bmp"}
IMAGE_SIZES = {"odd": "127x71", "tiny": "2x2", "column": "2x64", "large": "1900x1060"}


def recipes():
    yield from raw()
    yield from audio_oddities()
    yield from images()


def raw():
    for codec, suffix in RAW:
        rate = 10 if suffix == "gif" else 25
        yield made_by(f"raw_{codec}.{suffix}", *pattern(size=RAW_SIZES.get(codec, "160x90"), rate=rate), *video(codec))
    for pixel in Y4M.split():
        yield made_by(f"raw_{pixel}.y4m", *pattern(1), "-strict", "-1", "-pix_fmt", pixel)
    yield made_by("raw_h264-b-frames.h264", *pattern(), *video("h264"), "-bf", "2")
    yield made_by("raw_hevc-b-frames.hevc", *pattern(), "-c:v", "libx265", "-x265-params", "log-level=none:bframes=3")
    yield made_by("raw_webp-moving.webp", *pattern(rate=10), "-c:v", "libwebp_anim")
    yield made_by("raw_gif-variable.gif", *pattern(filters="select='not(mod(n\\,7))'"), "-fps_mode", "vfr")


def audio_oddities():
    for suffix, codecs in AUDIO_FORMATS:
        for codec in codecs.split():
            coder = ["-c:a", codec] if codec == "adpcm_adx" else audio(codec)
            muxer = ["-f", MUXERS[suffix]] if suffix in MUXERS else []
            more = ["-rf64", "always"] if suffix == "rf64" else []
            name = "wav" if suffix == "rf64" else suffix
            rate = 16000 if codec in ("g722", "speex") else 48000
            yield made_by(f"sound_{suffix}_{codec}.{name}", *tone(rate=rate), *coder, *more, *muxer)
    for suffix, codec, rates in SOUND_RATES:
        for rate in rates.split():
            yield made_by(f"sound_{suffix}_{rate}-hz.{suffix}", *tone(rate=int(rate)), *audio(codec), "-ar", rate)
    for suffix, codec in SOUND_LAYOUTS:
        for layout in LAYOUTS.split():
            yield made_by(f"sound_{suffix}_{layout}.{suffix}", *tone(layout=layout), *audio(codec))
    yield made_by("sound_mp3_variable-rate.mp3", *tone(), *audio("mp3"), "-q:a", "5")
    yield made_by("sound_mp3_no-header.mp3", *tone(), *audio("mp3"), "-write_xing", "0", "-id3v2_version", "0")
    yield made_by("sound_wav_short.wav", *tone(0.05))
    yield made_by("sound_flac_24-bit.flac", *tone(), *audio("flac"), "-sample_fmt", "s32")


def images():
    for suffix, pixels in IMAGES:
        coder = STILL_CODECS.get(suffix, "").split()
        for pixel in pixels.split():
            yield image(f"image_{suffix}_{pixel}.{suffix}", "160x90", coder, pixel)
    for suffix in ("png", "jpg", "webp", "bmp", "tiff", "gif", "tga", "jp2", "ppm"):
        for name, size in IMAGE_SIZES.items():
            yield image(f"image_{suffix}_{name}.{suffix}", size, STILL_CODECS.get(suffix, "").split(), "")
    for compression in ("raw", "packbits", "lzw", "deflate"):
        yield image(f"image_tiff_{compression}.tiff", "160x90", ["-compression_algo", compression], "rgb24")
    yield image("image_webp_lossless.webp", "160x90", ["-lossless", "1"], "bgra")
    yield image("image_jpg_wide-pixels.jpg", "160x90", ["-vf", "setsar=4/3"], "yuvj420p")
    yield image("image_png_wide-pixels.png", "160x90", ["-vf", "setsar=4/3"], "rgb24")


def image(name, size, more, pixel):
    """Formats with transparency get an image that is half transparent."""
    transparent = pixel in ("rgba", "bgra", "ya8", "yuva420p", "rgba64be")
    source = pattern(1, size, 1, "format=rgba,colorchannelmixer=aa=0.5" if transparent else "")
    options = ["-pix_fmt", pixel] if pixel else []
    if name.endswith(".jpg"):
        options += ["-strict", "-1"]
    if not name.endswith((".gif", ".avif", ".ico", ".webp")):
        options += ["-update", "1"]
    return made_by(name, *source, "-frames:v", "1", *more, *options)
