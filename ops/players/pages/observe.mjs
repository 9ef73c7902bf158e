// What a viewer would see and hear of a video.

/** Starts to listen; the result is a function that returns the present state. */
export function observe(video) {
  const colorAt = pixels();
  const pitchOf = spectrum(video);
  return () => ({
    time: video.currentTime,
    duration: video.duration,
    ended: video.ended,
    width: video.videoWidth,
    height: video.videoHeight,
    frames: video.getVideoPlaybackQuality().totalVideoFrames,
    color: video.videoWidth > 0 ? colorAt(video, video.videoWidth / 4, video.videoHeight / 2) : "none",
    pitch: pitchOf(),
    cues: cuesOf(video),
  });
}

/** A function that names the colour of one pixel of a video or picture. */
export function pixels() {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  return (source, x, y) => {
    context.drawImage(source, x, y, 1, 1, 0, 0, 1, 1);
    const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
    if (red > 150 && green < 100 && blue < 100) return "red";
    if (blue > 150 && green < 100 && red < 100) return "blue";
    return `${red},${green},${blue}`;
  };
}

/** The loudest frequency in hertz; 0 if it is silent. */
function spectrum(video) {
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { smoothingTimeConstant: 0 });
  context.createMediaElementSource(video).connect(analyser).connect(context.destination);
  const levels = new Float32Array(analyser.frequencyBinCount);
  return () => {
    analyser.getFloatFrequencyData(levels);
    const level = Math.max(...levels);
    return level > -60 ? Math.round((levels.indexOf(level) * context.sampleRate) / analyser.fftSize) : 0;
  };
}

/** The cues of each language that has any: the text, and from when to when it is shown. */
function cuesOf(video) {
  const cues = {};
  for (const track of video.textTracks) {
    const seen = [...(track.cues ?? [])].map((cue) => [cue.text, Math.round(cue.startTime), Math.round(cue.endTime)]);
    if (seen.length > 0) cues[track.language] = seen;
  }
  return cues;
}
