"""The differences between ffapi's output and the command line's, in words. An empty list means: equally well.

Not differences: audio that ffapi mixed to stereo, and a long last frame that it repeats at its end (docs/media.md).
"""

from bisect import bisect_right
from statistics import correlation, pstdev

import cues
import media

# Seconds by which times may differ; of durations also 2 %.
TOLERANCE = 0.1
# Mean difference of the values of two images, of 255.
IMAGES = 12
# Correlation of the loudness of two audio streams.
AUDIO_LIKENESS = 0.9
# Pieces of audio by which one may be later than the other: 0.1 s.
SHIFT = 5
# Audio whose loudness varies less than this is steady: it has no shape that could be compared.
STEADY = 0.05


def differences(kind, ours, theirs, right):
    """`right` are the facts of the command line's output."""
    if kind == "subtitle":
        return cues.differences(ours, theirs)
    left = media.facts(ours)
    found = present(left, right)
    seen, heard = bool(left.frames and right.frames), bool(left.audio and right.audio)
    if seen:
        found += sizes(left, right)
        if kind != "image":
            found += frames(left, right)
    if heard:
        found += compare_audio(left, right)
    return found + likeness(ours, theirs, left, right, seen, heard)


def present(left, right):
    """Streams that one output has and the other lacks."""
    return [f"{name}: only {'ffapi' if has else 'the command line'} has it"
            for name, has, other in (("video", bool(left.frames), bool(right.frames)),
                                     ("audio", bool(left.audio), bool(right.audio)),
                                     ("subtitles", left.subtitles, right.subtitles)) if has != other]


def sizes(left, right):
    if any(abs(ours - theirs) > max(1, theirs * 0.02) for ours, theirs in zip(left.size, right.size)):
        return [f"size {text(left.size)} / {text(right.size)}"]
    return []


def text(size):
    return "x".join(map(str, size))


def frames(left, right):
    found = []
    ours, theirs = left.frames, right.frames
    # A last frame that is repeated near its end, because a container cannot store how long it lasts.
    repeated = len(ours) == len(theirs) + 1 and ours[-1] <= right.picture_end + TOLERANCE and apart(
        ours[-2], theirs[-1]) <= TOLERANCE
    if repeated:
        ours = ours[:-1]
    if len(ours) != len(theirs):
        found.append(f"{len(ours)} / {len(theirs)} frames")
    if apart(ours[0], theirs[0]) > TOLERANCE:
        found.append(f"first frame at {ours[0]:.3f} / {theirs[0]:.3f} s")
    if apart(ours[-1], theirs[-1]) > tolerance(theirs[-1]):
        found.append(f"last frame at {ours[-1]:.3f} / {theirs[-1]:.3f} s")
    worst = max(zip(ours, theirs), key=lambda pair: apart(*pair))
    if not found and apart(*worst) > TOLERANCE:
        found.append(f"a frame at {worst[0]:.3f} / {worst[1]:.3f} s")
    lengths = left.picture_end - left.frames[0], right.picture_end - right.frames[0]
    if apart(*lengths) > tolerance(lengths[1]):
        found.append(f"video lasts {lengths[0]:.3f} / {lengths[1]:.3f} s")
    return found


def compare_audio(left, right):
    found = []
    if left.channels not in (right.channels, 2):
        found.append(f"{left.channels} / {right.channels} channels")
    lengths = [end - start for start, end in (left.audio, right.audio)]
    if apart(*lengths) > tolerance(lengths[1]):
        found.append(f"audio lasts {lengths[0]:.3f} / {lengths[1]:.3f} s")
    return found


def offset(left, right, loudness):
    """`loudness` is that of ffapi's audio: silence before the command line's first sample is no difference."""
    ours, theirs = (facts.audio[0] - facts.frames[0] for facts in (left, right))
    before = loudness[:max(0, round((right.audio[0] - TOLERANCE) * media.RATE / media.PIECE))]
    padded = ours < theirs and max(before, default=0) < 1
    if apart(ours, theirs) > TOLERANCE and not padded:
        return [f"audio begins {ours:+.3f} / {theirs:+.3f} s after the video"]
    return []


def likeness(ours, theirs, left, right, seen, heard):
    """How alike images and audio are, decoded from both outputs."""
    pairs = same_instants(left.frames, right.frames) if seen else []
    mine = media.decoded(ours, {one for one, _ in pairs}, heard)
    other = media.decoded(theirs, {one for _, one in pairs}, heard)
    found = images(pairs, mine, other, len(left.frames)) if seen else []
    if seen and heard:
        found = offset(left, right, mine.loudness) + found
    return found + (loudness(mine.loudness, other.loudness, left.channels == right.channels) if heard else [])


def same_instants(ours, theirs):
    """Numbers of the frames that both show at a few instants, each in the middle of one of the command line's."""
    instants = [theirs[0]] if len(theirs) == 1 else [
        (theirs[at] + theirs[at + 1]) / 2 for at in sorted({(len(theirs) - 2) * part // 10 for part in (0, 3, 5, 10)})]
    return [(shown(ours, instant), shown(theirs, instant)) for instant in instants]


def images(pairs, mine, other, frames):
    if mine.count != frames:
        return [f"{mine.count} of ffapi's {frames} frames can be decoded"]
    both = [(mine.images[one], other.images[two]) for one, two in pairs if two in other.images]
    if not both:
        return ["no image can be compared"]
    found = []
    ours, theirs = (media.is_transparent(image) for image in both[0])
    if ours != theirs:
        found.append(f"transparency: only {'ffapi' if ours else 'the command line'} keeps it")
    unlike = max(media.distance(*pair) for pair in both)
    return found + ([f"images differ by {unlike:.0f} of 255"] if unlike > IMAGES else [])


def shown(times, instant):
    """The number of the frame that is displayed at an instant."""
    return max(0, bisect_right(times, instant) - 1)


def loudness(left, right, same_channels):
    pieces = min(len(left), len(right))
    if pieces < 4 * SHIFT:
        return []
    left, right = left[:pieces], right[:pieces]
    ours, theirs = sum(left) / pieces, sum(right) / pieces
    if (ours < 1) != (theirs < 1):
        return [f"audio: only {'ffapi' if ours < 1 else 'the command line'}'s is silent"]
    # How loud a mix of several channels is depends on the mixer.
    if same_channels and not 0.5 <= (ours + 1) / (theirs + 1) <= 2:
        return [f"audio: loudness {ours:.0f} / {theirs:.0f}"]
    if pstdev(left) <= STEADY * ours + 1 or pstdev(right) <= STEADY * theirs + 1:
        return []
    best = 0.0
    for shift in sorted(range(-SHIFT, SHIFT + 1), key=abs):
        best = max(best, alike(left[max(0, shift):], right[max(0, -shift):]))
        if best >= AUDIO_LIKENESS:
            return []
    return [f"audio: its loudness correlates by {best:.2f} only"]


def alike(left, right):
    pieces = min(len(left), len(right))
    left, right = left[:pieces], right[:pieces]
    return correlation(left, right) if pstdev(left) and pstdev(right) else 0.0


def apart(one, other):
    return abs(one - other)


def tolerance(length):
    return max(TOLERANCE, 0.02 * length)
