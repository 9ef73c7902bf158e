"""Subtitles as files: formats, encodings, and what editors make of them."""

from recipes import written

CUES = [("00:00:00,500", "00:00:01,500", "Café naïve"), ("00:00:02,000", "00:00:03,000", "<i>Two</i>\nlines"),
        ("00:00:03,000", "00:00:04,250", "100 % & <b>bold</b>")]
SRT = "".join(f"{number}\n{start} --> {end}\n{said}\n\n" for number, (start, end, said) in enumerate(CUES, 1))
VTT = "WEBVTT\n\n" + "".join(f"{start} --> {end}\n{said}\n\n" for start, end, said in CUES)
VTT = VTT.replace(",", ".").replace("&", "&amp;")
STYLED = "WEBVTT - Title\n\nNOTE A remark\n\nname\n00:01.000 --> 00:02.000 line:0 align:start\n" \
         "<v Anna>Hello <c.loud>you</c>\n\n00:02.500 --> 00:03.500\n- One\n- Two\n"
ASS = """[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, \
ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,0

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:00.50,0:00:01.50,Default,,0,0,0,,{\\i1}Café{\\i0} naïve
Dialogue: 0,0:00:02.00,0:00:03.00,Default,,0,0,0,,Two\\Nlines
Dialogue: 0,0:00:02.50,0:00:04.00,Default,,0,0,0,,{\\pos(10,10)}A sign, with a comma
"""
SSA = """[Script Info]
ScriptType: v4.00

[V4 Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, TertiaryColour, BackColour, Bold, Italic, BorderStyle, Outline, \
Shadow, Alignment, MarginL, MarginR, MarginV, AlphaLevel, Encoding
Style: Default,Arial,20,65535,65535,65535,-2147483640,-1,0,1,3,0,2,30,30,30,0,0

[Events]
Format: Marked, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: Marked=0,0:00:00.50,0:00:01.50,Default,NTP,0000,0000,0000,,Hello
Dialogue: Marked=0,0:00:02.00,0:00:03.00,Default,NTP,0000,0000,0000,,Two\\Nlines
"""
LRC = "[ti:Title]\n[00:00.50]First\n[00:02.00]Second\n[00:03.00]\n"
MICRODVD = "{0}{25}Hello\n{50}{75}Two|lines\n"
SAMI = "<SAMI><BODY><SYNC Start=500><P>Hello</P></SYNC><SYNC Start=1500><P>&nbsp;</P></SYNC></BODY></SAMI>\n"
FILES = {
    "utf-8.srt": SRT.encode(), "utf-8-mark.srt": SRT.encode("utf-8-sig"), "utf-16.srt": SRT.encode("utf-16"),
    "utf-16be.srt": b"\xfe\xff" + SRT.encode("utf-16-be"), "cp1252.srt": SRT.encode("cp1252"),
    "cyrillic-cp1251.srt": SRT.replace("Café naïve", "Привет").encode("cp1251"),
    "carriage-returns.srt": SRT.replace("\n", "\r\n").encode(), "only-carriage-returns.srt": SRT.replace("\n", "\r").encode(),
    "no-numbers.srt": "".join(f"{start} --> {end}\n{said}\n\n" for start, end, said in CUES).encode(),
    "points.srt": SRT.replace(",", ".", 6).encode(), "no-last-line-end.srt": SRT.rstrip().encode(),
    "overlapping.srt": SRT.replace("00:00:03,000 -->", "00:00:02,200 -->").encode(),
    "out-of-order.srt": "\n\n".join(reversed(SRT.strip().split("\n\n"))).encode(),
    "late.srt": SRT.replace("00:00:", "00:05:").encode(),
    "empty-cue.srt": SRT.replace("Café naïve", "").encode(), "colours.srt": SRT.replace(
        "Café naïve", '<font color="#ff0000">Café</font> {\\an8}naïve').encode(),
    "japanese.srt": SRT.replace("Café", "日本語").encode(),
    "plain.vtt": VTT.encode(), "styled.vtt": STYLED.encode(),
    "style-block.vtt": STYLED.replace("NOTE A remark", "STYLE\n::cue { color: red }").encode(), "mark.vtt": VTT.encode("utf-8-sig"),
    "carriage-returns.vtt": VTT.replace("\n", "\r\n").encode(), "plain.ass": ASS.encode(), "utf-16.ass": ASS.encode("utf-16"),
    "mark.ass": ASS.encode("utf-8-sig"), "plain.ssa": SSA.encode(), "plain.lrc": LRC.encode(), "microdvd.sub": MICRODVD.encode(),
    "plain.smi": SAMI.encode(),
}


def recipes():
    for name, content in FILES.items():
        yield written(f"words_{name}", content)
