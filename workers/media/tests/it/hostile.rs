use std::fs;

use crate::harness::{Slot, clip, failure};

#[test]
fn what_is_no_media_is_refused_in_words() {
    let zip = b"PK\x03\x04\x14\x00\x00\x00\x08\x00aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    for (bytes, says) in [
        (b"".as_slice(), "empty"),
        (b"just some text, not a film\n".as_slice(), "not a media file"),
        (zip.as_slice(), "not a media file"),
    ] {
        let talk = Slot::with(bytes).convert("out.mp4", vec![]);
        let (code, message) = failure(&talk);
        assert_eq!(code, "invalid_input", "{message}");
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_truncated_film_is_a_failure_and_never_a_shorter_success() {
    let whole = Slot::new();
    clip(&whole.input(), "320x180", 6, &["-movflags", "+faststart", "-f", "mp4"]);
    let bytes = fs::read(whole.input()).unwrap();
    for part in [4, 7, 9] {
        let talk = Slot::with(&bytes[..bytes.len() * part / 10]).convert("out.mp4", vec![]);
        let (code, message) = failure(&talk);
        assert_eq!(code, "invalid_input", "{part}/10: {message}");
        assert!(message.contains("cut off"), "{part}/10: {message}");
    }
}

#[test]
fn a_disguised_playlist_reads_nothing() {
    let slot = Slot::new();
    let secret = slot.output("secret.ts");
    clip(&secret, "320x180", 1, &["-f", "mpegts"]);
    let at = secret.display();
    for playlist in [
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\nfile://{at}\n#EXT-X-ENDLIST\n"),
        format!("ffconcat version 1.0\nfile '{at}'\n"),
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\n{at}\n#EXT-X-ENDLIST\n"),
    ] {
        fs::write(slot.input(), &playlist).unwrap();
        let talk = slot.convert("out.mp4", vec![]);
        assert_eq!(failure(&talk).0, "invalid_input", "{playlist}");
    }
}
