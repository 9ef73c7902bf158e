"""Media work compared with the ffmpeg command line: the same libraries, settings and source, alternately."""

import os
import re
import statistics
import subprocess
import threading
import time

from stack import BUNNY, ROOT, out, row, rss
from turns import Commands, Jobs, turns

JUDGE = ROOT / ".tools/bin/ffmpeg-judge"
STEPS = [("1080p", 1080, 5000), ("720p", 720, 2800), ("480p", 480, 1400)]
RUNS = 3
# Frames between keyframes: two seconds, as usual for streaming.
KEYS = 50


def rows(stack, data):
    """Every row, with a source of 30 s that is created once."""
    source = f"{data}/source.mp4"
    out("ffmpeg", "-v", "error", "-stream_loop", "5", "-i", BUNNY, "-t", "30", "-vf", "scale=1920:1080",
        "-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-c:a", "aac", "-ac", "2", source)
    upload = stack.upload(source)
    transcode(stack, data, source, upload)
    many(stack, data, source, upload)
    ladder(stack, data, source, upload)
    everything(stack, data, source, upload)
    overhead(stack, data)


def timed(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def compared(name, pairs, goal):
    """Two rows of paired durations, from submit to completed, and without the steps that ffmpeg does not have:
    the median of the ratios, and their spread."""
    ratios = [ours / theirs for ours, theirs, _ in pairs]
    ours, theirs, made = (statistics.median(side) for side in zip(*pairs))
    spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
    row(name, f"{statistics.median(ratios):.3f} ({spread}; {ours:.1f} / {theirs:.1f} s)", goal)
    until = statistics.median(made / theirs for _, theirs, made in pairs)
    row("  until it is made, and only read back, hashed and delivered", f"{until:.3f} ({made:.1f} s)", goal)


def one(source, to):
    return ["ffmpeg", "-v", "error", "-y", "-i", source, "-vf", "scale=1280:720", "-c:v", "libx264", "-preset",
            "veryfast", "-crf", "23", "-g", str(KEYS), "-c:a", "aac", "-b:a", "128k", "-ac", "2", "-movflags", "+faststart",
            to]


OPERATIONS = [{"type": "scale", "height": 720},
              {"type": "transcode", "preset": "veryfast", "crf": 23, "keyframe_interval": KEYS}]


def transcode(stack, data, source, upload):
    pairs, peaks = [], []
    for n in range(RUNS):
        theirs = Commands(one(source, f"{data}/theirs.mp4"))
        ours = Jobs(stack, {"input": upload, "output": f"ours{n}.mp4", "operations": OPERATIONS})
        watch = Peak(stack)
        pairs.append(turns(ours, theirs))
        peaks.append((watch.end(), theirs.peak))
    compared("transcode 1080p to 720p / ffmpeg", pairs, "<= 0.97")
    child, ffmpeg = (statistics.median(side) for side in zip(*peaks))
    row("memory: media child / ffmpeg, at their peaks", f"{child / ffmpeg:.2f} ({child:.0f} / {ffmpeg:.0f} MiB)",
        "<= 1.1")
    for name, scaler in (("theirs.mp4", "swscale"), ("storage/default/ours0.mp4", "zscale")):
        said = subprocess.run(["ffmpeg", "-v", "info", "-i", f"{data}/{name}", "-i", source, "-lavfi",
                               "[1:v]scale=1280:720:flags=lanczos+accurate_rnd[r];[0:v][r]psnr", "-f", "null", "-"],
                              check=True, capture_output=True, text=True).stderr
        row(f"  likeness to a Lanczos reference, {scaler}", f"PSNR {re.search(r'average:([0-9.]+)', said).group(1)} dB",
            "the higher the better")


class Peak:
    """The peak memory of any media child while it works. Sampling costs some milliseconds on both cores."""

    def __init__(self, stack):
        self.stack, self.most, self.over = stack, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self):
        while not self.over.wait(0.5):
            for child in self.stack.children("media-child"):
                try:
                    self.most = max(self.most, rss(child, "VmHWM"))
                except OSError:
                    pass

    def end(self):
        self.over.set()
        self.thread.join()
        return self.most


def many(stack, data, source, upload):
    """Twice as many jobs at once as there are cores, against command lines one after the other."""
    count, pairs = os.cpu_count() * 2, []
    for n in range(RUNS - 1):
        theirs = Commands(*[one(source, f"{data}/theirs.mp4")] * count)
        bodies = [{"input": upload, "output": f"many{n}-{k}.mp4", "operations": OPERATIONS} for k in range(count)]
        pairs.append(turns(Jobs(stack, *bodies), theirs))
    compared(f"{count} jobs, all at once / one by one", pairs, "<= 0.92")


def ladder_command(data, source, extra_filters=(), extra_outputs=()):
    ways = len(STEPS) + len(extra_filters)
    labels = [f"[i{k}]" for k in range(ways)]
    graph = f"[0:v]split={ways}" + "".join(labels) + ";" + ";".join(
        [f"[i{k}]scale=-2:{height}[o{k}]" for k, (_, height, _) in enumerate(STEPS)]
        + [f"{label}{text}" for label, text in zip(labels[len(STEPS):], extra_filters)])
    command = ["ffmpeg", "-v", "error", "-y", "-i", source, "-filter_complex", graph]
    for k, (_, _, cap) in enumerate(STEPS):
        command += ["-map", f"[o{k}]", f"-c:v:{k}", "libx264", f"-crf:v:{k}", "23", f"-maxrate:v:{k}", f"{cap}k",
                    f"-bufsize:v:{k}", f"{cap * 2}k"]
    return command + [
        "-map", "0:a", "-c:a", "aac", "-b:a", "128k", "-preset", "veryfast", "-g", "1000", "-sc_threshold", "0",
        "-force_key_frames", "expr:gte(t,n_forced*2)", "-f", "hls", "-hls_time", "2", "-hls_segment_type", "fmp4",
        "-hls_playlist_type", "vod", "-master_pl_name", "master.m3u8", "-var_stream_map",
        "v:0,agroup:a v:1,agroup:a v:2,agroup:a a:0,agroup:a", f"{data}/theirs-%v/index.m3u8", *extra_outputs]


def stream(stack, name, upload, **more):
    body = {"input": upload, "output": name, "type": "hls", "segment_duration": 2, "encoder_preset": "veryfast",
            "variants": [{"name": name, "height": height} for name, height, _ in STEPS], **more}
    return Jobs(stack, body, path="/stream")


def ladder(stack, data, source, upload):
    """Three renditions in HLS from one decode, keyframes every two seconds."""
    pairs = [turns(stream(stack, f"ladder{n}", upload), Commands(ladder_command(data, source))) for n in range(RUNS)]
    compared("ladder of three in HLS / ffmpeg", pairs, "<= 0.95")


def everything(stack, data, source, upload):
    """The ladder with poster, sprite, loudness, and the VMAF of each rendition."""
    filters = ["trim=start=10:end=10.04[p]", "fps=1/2,scale=160:90,tile=10x10[s]"]
    outputs = ["-map", "[p]", "-frames:v", "1", f"{data}/p.jpg", "-map", "[s]", "-frames:v", "1", f"{data}/s.jpg",
               "-map", "0:a", "-af", "ebur128", "-f", "null", "-"]
    made = [argument for k in range(len(STEPS)) for argument in ("-i", f"{data}/theirs-{k}/index.m3u8")]
    split = "[0:v]split=3[r0][r1][r2];" + ";".join(
        f"[{k + 1}:v]scale=1920:1080:flags=bicubic[d{k}];[d{k}][r{k}]libvmaf=n_threads=2" for k in range(len(STEPS)))
    judge = [JUDGE, "-v", "error", "-i", source, *made, "-lavfi", split, "-f", "null", "-"]
    pairs = []
    for n in range(RUNS - 1):
        ours = stream(stack, f"everything{n}", upload, poster={"timestamp": 10}, sprite={"interval": 2},
                      metrics=["vmaf", "loudness"])
        pairs.append(turns(ours, Commands(ladder_command(data, source, filters, outputs), judge)))
    compared("everything at once / an ffmpeg script (VMAF by another build)", pairs, "<= 0.85")


def overhead(stack, data):
    """A 2 s 360p job from submit to completed, beside the same work as a bare command line."""
    small = f"{data}/small.mp4"
    out("ffmpeg", "-v", "error", "-i", BUNNY, "-t", "2", "-vf", "scale=640:360", "-c:v", "libx264", "-c:a", "aac",
        "-ac", "2", small)
    upload = stack.upload(small)
    ours, theirs = [], []
    for n in range(20):
        theirs.append(timed(lambda: out(
            "ffmpeg", "-v", "error", "-y", "-i", small, "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac",
            "-movflags", "+faststart", f"{data}/theirs.mp4")))
        start = time.monotonic()
        job = stack.convert({"input": upload, "output": f"small{n}.mp4", "operations": [
            {"type": "transcode", "preset": "ultrafast"}]})
        ours.append(time.monotonic() - start)
        assert job["status"] == "completed", job
    difference = sorted(a - b for a, b in zip(ours, theirs))
    row("overhead of a 2 s job over the command line", f"p50 {statistics.median(difference) * 1000:.0f} ms, "
        f"max {difference[-1] * 1000:.0f} ms ({statistics.median(ours) * 1000:.0f} / "
        f"{statistics.median(theirs) * 1000:.0f} ms)", "p50 <= 30 ms, p99 <= 150 ms")
