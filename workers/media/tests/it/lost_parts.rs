//! Files of which a part is lost: it is named, and nothing else is taken for a loss.

use std::fs;

use crate::{
    harness::{failure, notes, report, seconds},
    real_files::FLASHES,
    unusual_inputs::{fast, generate},
};

#[test]
fn a_file_that_is_shorter_than_its_header_states_is_named_as_cut_off() {
    let formats = [
        "-c:v mpeg4 -c:a libmp3lame -f avi",
        "-vn -c:a pcm_s16le -f wav",
        "-vn -c:a pcm_s16le -f w64",
        "-vn -c:a pcm_s16be -f caf",
    ];
    for options in formats {
        let slot = generate(&format!("{FLASHES} {options}"));
        let output = if options.contains("-vn") { "o.m4a" } else { "o.mp4" };
        report(&slot.convert(output, vec![]));
        let bytes = fs::read(slot.input()).unwrap();
        fs::write(slot.input(), &bytes[..bytes.len() * 6 / 10]).unwrap();
        let messages = slot.convert(output, vec![]);
        let (code, message) = failure(&messages);
        assert_eq!(code, "invalid_input", "{options}: {message}");
        assert!(message.contains("cut off"), "{options}: {message}");
    }
}

#[test]
fn windows_media_is_converted_as_far_as_it_goes() {
    let slot = generate(&format!("{FLASHES} -c:v wmv2 -c:a wmav2 -f asf"));
    let bytes = fs::read(slot.input()).unwrap();
    fs::write(slot.input(), &bytes[..bytes.len() * 6 / 10]).unwrap();
    let messages = slot.convert("o.mp4", vec![fast()]);
    report(&messages);
    assert!(notes(&messages).contains("the input is cut off"), "{}", notes(&messages));
}

#[test]
fn a_wrong_duration_in_the_header_does_not_make_a_file_cut_off() {
    let slot = generate("-f lavfi -i sine=d=3:r=44100 -c:a libmp3lame -f flv");
    let mut bytes = fs::read(slot.input()).unwrap();
    let at = bytes.windows(8).position(|name| name == b"duration").unwrap() + 9;
    bytes[at..at + 8].copy_from_slice(&60_f64.to_be_bytes());
    fs::write(slot.input(), &bytes).unwrap();
    report(&slot.convert("o.m4a", vec![]));
    let duration = seconds(&slot.output("o.m4a"));
    assert!((duration - 3.0).abs() < 0.15, "{duration}");
    fs::write(slot.input(), &bytes[..bytes.len() - 10]).unwrap();
    assert_eq!(failure(&slot.convert("o.m4a", vec![])).0, "invalid_input");

    let slot = generate("-f lavfi -i sine=d=3:r=44100 -c:a flac -f flac");
    let mut bytes = fs::read(slot.input()).unwrap();
    // The samples in total are the last 36 bits before the checksum of the audio.
    bytes[4 + 4 + 14..4 + 4 + 18].copy_from_slice(&(60 * 44_100_u32).to_be_bytes());
    fs::write(slot.input(), &bytes).unwrap();
    report(&slot.convert("o.m4a", vec![]));
    fs::write(slot.input(), &bytes[..bytes.len() - 10]).unwrap();
    assert_eq!(failure(&slot.convert("o.m4a", vec![])).0, "invalid_input");
}

#[test]
fn what_a_transport_stream_has_lost_is_noted() {
    let slot = generate(&format!("{FLASHES} -f mpegts"));
    let bytes = fs::read(slot.input()).unwrap();
    let packets = bytes.chunks(188).enumerate();
    let kept = packets.filter(|(number, _)| *number < 40 || number % 97 != 0);
    fs::write(slot.input(), kept.flat_map(|(_, packet)| packet.to_vec()).collect::<Vec<u8>>())
        .unwrap();
    let messages = slot.convert("o.mp4", vec![fast()]);
    report(&messages);
    assert!(
        notes(&messages).contains("of the input's video are incomplete"),
        "{}",
        notes(&messages)
    );
}
