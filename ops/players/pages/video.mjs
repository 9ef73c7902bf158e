// The browser's own player.
export function open(video, { url }) {
  video.src = url;
  return {};
}
