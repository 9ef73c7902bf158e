import "shaka-player";

const { shaka } = globalThis;
shaka.polyfill.installAll();

export async function open(video, { url }, fail) {
  const report = ({ code, data }) => fail(`shaka ${code} ${data?.[1] ?? ""}`);
  const player = new shaka.Player();
  player.addEventListener("error", ({ detail }) => report(detail));
  // As if the video was longer than what Shaka Player loads ahead: it adds captions of HLS with the next segment only.
  player.configure({ streaming: { bufferingGoal: 3 } });
  await player.attach(video);
  await player.load(url).catch(report);
  const unique = (values) => [...new Set(values)];
  return {
    languages: () => unique(player.getAudioTracks().map((track) => track.language)),
    heights: () => unique(player.getVideoTracks().map((track) => track.height)),
    chooseLanguage(language) {
      player.selectAudioTrack(player.getAudioTracks().find((track) => track.language === language));
    },
    chooseHeight(height) {
      player.configure({ abr: { enabled: false } });
      player.selectVideoTrack(player.getVideoTracks().find((track) => track.height === height), true);
    },
    chooseCaptions(language) {
      player.selectTextTrack(player.getTextTracks().find((track) => track.language === language));
    },
  };
}
