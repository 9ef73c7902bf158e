//! Audio operations, measured by the ffmpeg command line.

use ffapi_domain::{
    Personal,
    media::{Audio, Operation},
};

use crate::{
    harness::{Slot, ffmpeg, ffmpeg_stderr, loudness, number_after, probe, report, run, seconds},
    operations::{clip_slot, fast},
};

#[test]
fn normalized_loudness_is_within_half_a_unit_of_its_target() {
    // Quiet speech-like noise, and a mix with peaks that must be limited.
    let sources = [
        "anoisesrc=c=pink:a=0.02:d=12:seed=1,volume='0.3+0.7*gt(mod(t,2),1)':eval=frame",
        "anoisesrc=c=pink:a=0.05:d=12:seed=2[n];sine=f=90:d=12,volume='12*lt(mod(t,1),0.02)':eval=frame[k];[n][k]amix=normalize=0",
    ];
    for source in sources {
        for target in [-23.0, -14.0] {
            let slot = Slot::new();
            run(
                "ffmpeg",
                &[
                    "-v",
                    "error",
                    "-filter_complex",
                    &format!("{source}[o]"),
                    "-map",
                    "[o]",
                    "-ar",
                    "48000",
                    "-ac",
                    "2",
                    "-c:a",
                    "pcm_s24le",
                    "-f",
                    "wav",
                    slot.input().to_str().unwrap(),
                ],
            );
            let normalize =
                Audio { normalize: true, target_lufs: Some(target), ..Audio::default() };
            report(&slot.convert("o.wav", vec![Operation::Audio(normalize)]));
            let (integrated, peak) = loudness(&slot.output("o.wav"));
            assert!((integrated - target).abs() <= 0.5, "{source}: {integrated} for {target}");
            assert!(peak <= 0.0, "{source}: {peak}");
        }
    }
}

#[test]
fn audio_settings_are_applied() {
    let slot = clip_slot("160x90", 4);
    let before = loudness(&slot.input()).0;
    let audio = |change: fn(&mut Audio)| {
        let mut audio = Audio::default();
        change(&mut audio);
        Operation::Audio(audio)
    };
    report(&slot.convert("half.wav", vec![audio(|a| a.volume = Some(0.5))]));
    let after = loudness(&slot.output("half.wav")).0;
    assert!((before - after - 6.02).abs() < 0.2, "{before} {after}");
    report(&slot.convert(
        "mono.flac",
        vec![audio(|a| (a.channels, a.sample_rate) = (Some(2), Some(32_000)))],
    ));
    assert_eq!(probe(&slot.output("mono.flac"), "a:0", "stream=sample_rate,channels"), "32000\n2");
    report(&slot.convert("mute.mp4", vec![audio(|a| a.remove = true), fast()]));
    assert_eq!(probe(&slot.output("mute.mp4"), "a", "stream=codec_name"), "");
    report(&slot.convert("only.m4a", vec![audio(|a| a.extract = true)]));
    assert_eq!(probe(&slot.output("only.m4a"), "", "stream=codec_type"), "audio");
    report(&slot.convert(
        "faded.wav",
        vec![audio(|a| (a.fade_in, a.fade_out) = (Some(1_000_000), Some(1_000_000)))],
    ));
    let level = |from: &str| {
        let path = slot.output("faded.wav");
        let part = ["-ss", from, "-t", "0.2", "-i", path.to_str().unwrap()];
        let meter = ["-af", "volumedetect", "-f", "null", "-"];
        number_after(&ffmpeg_stderr(&[&part[..], &meter].concat()), "mean_volume:")
    };
    assert!(level("0") < level("2") - 10.0 && level("3.8") < level("2") - 10.0);
}

#[test]
fn the_audio_of_a_video_is_replaced() {
    let slot = clip_slot("160x90", 3);
    ffmpeg(&format!(
        "-f lavfi -i sine=f=1000:r=44100:d=1 -c:a libmp3lame -f mp3 {}",
        slot.extra(1).display()
    ));
    let replace = Audio { replace: Some(Personal::Erased), ..Audio::default() };
    report(&slot.convert("o.mp4", vec![Operation::Audio(replace), fast()]));
    let output = slot.output("o.mp4");
    assert_eq!(probe(&output, "a:0", "stream=sample_rate"), "44100");
    assert!((seconds(&output) - 3.0).abs() < 0.05, "the duration of the video is unchanged");
}
