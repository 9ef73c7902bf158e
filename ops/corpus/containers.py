"""Containers and their codecs: every video codec with the container's first audio codec, and the reverse."""

from typing import NamedTuple

from recipes import SIZE, audio, made_by, pattern, tone, video


class Container(NamedTuple):
    name: str
    suffix: str
    video: list[str]
    audio: list[str]
    more: list[str]  # arguments for the output
    size: str = SIZE
    rate: int = 48000

    def clips(self, vcodec=None, acodec=None):
        """Output arguments for video and audio."""
        return [*video(vcodec or self.video[0]), *audio(acodec or self.audio[0]), *self.more]


def container(name, suffix, videos, audios, more="", **rest):
    return Container(name, suffix, videos.split(), audios.split(), more.split(), **rest)


CONTAINERS = [
    container("mp4", ".mp4", "h264 hevc av1 vp9 mpeg4 mpeg2 mpeg1 mjpeg",
              "aac mp3 opus ac3 eac3 flac alac mp2 vorbis dts truehd", "-strict -2"),
    container("mov", ".mov", "h264 hevc prores mjpeg png qtrle mpeg4 jpeg2000 dnxhr svq1 cinepak rpza v210 r210 cfhd hap "
              "raw h263 dv snow",
              "aac pcm_s16le pcm_s24be pcm_f32le pcm_mulaw pcm_alaw alac mp3 ac3 adpcm_ima_qt pcm_s8"),
    container("mkv", ".mkv", "h264 hevc av1 vp8 vp9 mpeg1 mpeg2 mpeg4 theora ffv1 huffyuv utvideo mjpeg prores png raw "
              "msmpeg4 wmv2 flv1 rv20 snow",
              "aac opus vorbis flac ac3 eac3 mp3 mp2 dts truehd alac tta wavpack pcm_s16le pcm_s24le pcm_f32le wmav2 pcm_u8 adpcm_ms"),
    container("webm", ".webm", "vp9 vp8 av1", "opus vorbis"),
    container("avi", ".avi", "mpeg4 xvid h264 mjpeg msmpeg4 msmpeg4v2 wmv1 huffyuv ffvhuff ffv1 utvideo magicyuv raw cinepak "
              "msvideo1 png mpeg1 mpeg2 zmbv zlib asv1 asv2 ljpeg h263p flv1 dv vp8 jpeg2000 snow amv",
              "mp3 ac3 mp2 pcm_s16le pcm_u8 adpcm_ms adpcm_ima_wav aac pcm_mulaw pcm_alaw wmav2 dts gsm_ms adpcm_yamaha"),
    container("ts", ".ts", "h264 hevc mpeg2 mpeg1 mpeg4 vc2", "aac mp2 mp3 ac3 eac3 opus dts s302m"),
    container("m2ts", ".m2ts", "h264 mpeg2 hevc", "ac3 aac eac3 dts truehd pcm_bluray"),
    container("mpg", ".mpg", "mpeg2 mpeg1 h264", "mp2 mp3 ac3 pcm_dvd"),
    container("vob", ".vob", "mpeg2 mpeg1", "ac3 mp2 dts"),
    container("flv", ".flv", "h264 flv1 flashsv flashsv2", "aac mp3 pcm_s16le nellymoser adpcm_swf speex pcm_mulaw", rate=44100),
    container("f4v", ".f4v", "h264", "aac mp3"),
    container("3gp", ".3gp", "h263 mpeg4 h264", "aac", size="176x144"),
    container("3g2", ".3g2", "h264 mpeg4", "aac", size="176x144"),
    container("wmv", ".wmv", "wmv2 wmv1 msmpeg4 mpeg4 h264", "wmav2 wmav1 mp3 pcm_s16le"),
    container("asf", ".asf", "msmpeg4 mjpeg", "wmav2 ac3"),
    container("ogv", ".ogv", "theora vp8 vc2", "vorbis opus flac speex"),
    container("mxf", ".mxf", "mpeg2 dnxhr h264 prores jpeg2000", "pcm_s16le pcm_s24le"),
    container("nut", ".nut", "h264 mpeg4 ffv1 raw", "aac flac pcm_s16le mp3"),
    container("rm", ".rm", "rv10 rv20", "ac3 real_144", size="176x144"),
    container("ismv", ".ismv", "h264", "aac"),
    container("wtv", ".wtv", "mpeg2 h264", "mp2 ac3"),
    container("swf", ".swf", "flv1 mjpeg", "mp3", rate=44100),
    container("dv", ".dv", "dv", "pcm_s16le", size="720x576"),
]
BY_NAME = {container.name: container for container in CONTAINERS}
# Codecs that exist in these sizes only.
SIZES = {"h263": "176x144", "h261": "176x144", "rv10": "176x144", "rv20": "176x144", "dv": "720x576", "amv": "160x128",
         "cinepak": "160x96", "msvideo1": "160x96",
         "svq1": "160x96", "hap": "160x96", "dnxhr": "256x144"}


def recipes():
    for target in CONTAINERS:
        cells = [(codec, target.audio[0]) for codec in target.video]
        cells += [(target.video[0], codec) for codec in target.audio[1:]]
        for vcodec, acodec in cells:
            size = SIZES.get(vcodec, target.size)
            yield made_by(f"{target.name}_{vcodec}_{acodec}{target.suffix}", *pattern(size=size),
                          *tone(rate=target.rate), *target.clips(vcodec, acodec))
