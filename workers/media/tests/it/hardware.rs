//! Hardware encoding, tested without a card by a fake driver that is compiled here.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use ffapi_domain::media::{
    AudioCodec, Capabilities, Device, Fallback, Hardware, Operation, Pool, Transcode, VideoCodec,
};
use ffapi_media::protocol::{ChildMessage, Permit, PoolAssignment, Task};
use tempfile::TempDir;

use crate::harness::{Slot, Transcript, clip, failure, report};

/// A folder with the fake driver and a library that makes any file pass for a render node.
fn driver() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/driver");
    for name in ["fake_drv_video", "node"] {
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-Wall", "-Werror", "-I/usr/include"])
            .arg("-o")
            .arg(folder.path().join(format!("{name}.so")))
            .arg(source.join(format!("{name}.c")))
            .status();
        assert!(built.unwrap().success());
    }
    folder
}

fn devices(messages: &Transcript) -> Vec<Device> {
    let found = messages.iter().find_map(|message| match message {
        ChildMessage::Capabilities(capabilities) => Some(capabilities.devices.clone()),
        _ => None,
    });
    found.unwrap()
}

fn probe_devices(node: &str, environment: &[(&str, &str)]) -> Vec<Device> {
    let slot = Slot::new();
    let argument = format!("device={node}");
    devices(&slot.task_with(Permit { threads: 1 }, &Task::Capabilities, &[&argument], environment))
}

#[test]
fn a_drivers_codecs_are_not_reported_until_they_encoded_a_frame() {
    let folder = driver();
    let path = folder.path().display().to_string();
    let preload = folder.path().join("node.so").display().to_string();
    let found = probe_devices(
        "/dev/null",
        &[
            ("LIBVA_DRIVERS_PATH", &path),
            ("LIBVA_DRIVER_NAME", "fake"),
            ("LIBVA_MESSAGING_LEVEL", "0"),
            ("LD_PRELOAD", &preload),
        ],
    );
    let [device] = found.as_slice() else { panic!("{found:#?}") };
    assert_eq!(device.pool, Pool::Vaapi);
    assert_eq!(device.driver.as_deref(), Some("a driver made for a test"));
    // Codecs that it only decodes are not offered; those that it offers fail, and that is reported.
    assert_eq!(device.offers, [VideoCodec::H264, VideoCodec::Hevc].into());
    assert!(device.encodes.is_empty());
    assert!(device.why_not.as_ref().unwrap().contains("/dev/null does not open"), "{device:#?}");
}

#[test]
fn a_file_that_is_not_a_render_node_is_reported() {
    let found = probe_devices("/dev/null", &[]);
    assert_eq!(found[0].why_not.as_deref(), Some("it is not a render node"), "{found:#?}");
    let found = probe_devices("/dev/dri/renderD999", &[]);
    assert!(found[0].why_not.as_ref().unwrap().contains("cannot be opened"), "{found:#?}");
}

fn convert_preferring_vaapi(fallback: Fallback) -> (Slot, Transcript) {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-f", "mp4"]);
    let transcode = Operation::Transcode(Transcode {
        audio_codec: Some(AudioCodec::None),
        ..Transcode::default()
    });
    let task = Task::Run {
        request: Box::new(Slot::conversion("o.mp4", vec![transcode])),
        capabilities: Capabilities::everything(),
        assignment: PoolAssignment {
            hardware: Some(Hardware { prefer: Pool::Vaapi, fallback }),
            pool: Pool::Cpu,
        },
        output: "o.mp4".to_owned(),
    };
    let messages = slot.task(&task);
    (slot, messages)
}

#[test]
fn the_fallback_to_the_cpu_is_noted_in_the_result() {
    let (slot, messages) = convert_preferring_vaapi(Fallback::Cpu);
    let notes = report(&messages).result.clone().unwrap().to_string();
    assert!(notes.contains("vaapi was preferred, but no worker with it was available"), "{notes}");
    let output: PathBuf = slot.output("o.mp4");
    assert!(output.exists());
}

#[test]
fn without_a_fallback_missing_hardware_is_a_failure() {
    let (slot, messages) = convert_preferring_vaapi(Fallback::Fail);
    let (_, message) = failure(&messages);
    assert!(message.starts_with("#/hardware/prefer"), "{message}");
    assert!(!slot.output("o.mp4").exists());
}
