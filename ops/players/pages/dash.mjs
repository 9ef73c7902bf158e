import { MediaPlayer } from "dashjs";

export function open(video, { url }, fail) {
  const player = MediaPlayer().create();
  player.on(MediaPlayer.events.ERROR, ({ error: { code, message, data } }) => {
    fail(`dash.js ${data?.response?.status ?? ""} ${code} ${message}`);
  });
  player.initialize(video, url, true);
  return {
    languages: () => player.getTracksFor("audio").map((track) => track.lang),
    heights: () => player.getRepresentationsByType("video").map((rendition) => rendition.height),
    chooseLanguage(language) {
      player.setCurrentTrack(player.getTracksFor("audio").find((track) => track.lang === language));
    },
    chooseHeight(height) {
      player.updateSettings({ streaming: { abr: { autoSwitchBitrate: { video: false } } } });
      const { id } = player.getRepresentationsByType("video").find((rendition) => rendition.height === height);
      player.setRepresentationForTypeById("video", id, true);
    },
    chooseCaptions(language) {
      player.setTextTrack(player.getTracksFor("text").findIndex((track) => track.lang === language));
    },
  };
}
