import Hls from "hls.js";

export function open(video, { url }, fail) {
  const hls = new Hls();
  hls.on(Hls.Events.ERROR, (_, { fatal, details, response }) => {
    // The others are what it retries: in 1.7 also a first audio segment that is buffered before the video is.
    if (fatal) fail(`hls.js ${details} ${response?.code ?? ""}`);
  });
  hls.loadSource(url);
  hls.attachMedia(video);
  return {
    languages: () => hls.audioTracks.map((track) => track.lang),
    heights: () => hls.levels.map((level) => level.height),
    chooseLanguage(language) {
      hls.audioTrack = hls.audioTracks.findIndex((track) => track.lang === language);
    },
    chooseHeight(height) {
      hls.nextLevel = hls.levels.findIndex((level) => level.height === height);
    },
    chooseCaptions(language) {
      hls.subtitleTrack = hls.subtitleTracks.findIndex((track) => track.lang === language);
    },
  };
}
