//! Hardware, by a driver that is compiled here: this machine need not have a card.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use ffapi_domain::media::{
    AudioCodec, Capabilities, Device, Fallback, Hardware, Operation, Pool, Transcode, VideoCodec,
};
use ffapi_media::protocol::{ChildMessage, Permit, Place, Task};
use tempfile::TempDir;

use crate::harness::{Slot, Transcript, clip, failure, report};

/// A folder with the driver and what makes a file pass for a render node.
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

fn devices(talk: &Transcript) -> Vec<Device> {
    let found = talk.iter().find_map(|said| match said {
        ChildMessage::Capabilities(capabilities) => Some(capabilities.devices.clone()),
        _ => None,
    });
    found.unwrap()
}

fn look(node: &str, environment: &[(&str, &str)]) -> Vec<Device> {
    let slot = Slot::new();
    let argument = format!("device={node}");
    devices(&slot.task_with(Permit { threads: 1 }, &Task::Capabilities, &[&argument], environment))
}

#[test]
fn a_driver_is_asked_and_not_believed_until_it_encoded_a_picture() {
    let folder = driver();
    let path = folder.path().display().to_string();
    let preload = folder.path().join("node.so").display().to_string();
    let found = look(
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
    // What it only decodes is not offered; what it offers does not work, and that is said.
    assert_eq!(device.offers, [VideoCodec::H264, VideoCodec::Hevc].into());
    assert!(device.encodes.is_empty());
    assert!(device.why_not.as_ref().unwrap().contains("/dev/null does not open"), "{device:#?}");
}

#[test]
fn a_file_that_is_no_card_is_said_to_be_none() {
    let found = look("/dev/null", &[]);
    assert_eq!(found[0].why_not.as_deref(), Some("it is no render node"), "{found:#?}");
    let found = look("/dev/dri/renderD999", &[]);
    assert!(found[0].why_not.as_ref().unwrap().contains("cannot be opened"), "{found:#?}");
}

fn wishing(fallback: Fallback) -> (Slot, Transcript) {
    let slot = Slot::new();
    clip(&slot.input(), "160x90", 1, &["-f", "mp4"]);
    let transcode = Operation::Transcode(Transcode {
        audio_codec: Some(AudioCodec::None),
        ..Transcode::default()
    });
    let task = Task::Run {
        request: Box::new(Slot::conversion("o.mp4", vec![transcode])),
        capabilities: Capabilities::everything(),
        place: Place {
            hardware: Some(Hardware { prefer: Pool::Vaapi, fallback }),
            pool: Pool::Cpu,
        },
        output: "o.mp4".to_owned(),
    };
    let talk = slot.task(&task);
    (slot, talk)
}

#[test]
fn without_the_hardware_the_processor_says_that_it_did_it() {
    let (slot, talk) = wishing(Fallback::Cpu);
    let notes = report(&talk).result.clone().unwrap().to_string();
    assert!(notes.contains("vaapi was preferred, but no worker with it was there"), "{notes}");
    let made: PathBuf = slot.output("o.mp4");
    assert!(made.exists());
}

#[test]
fn without_the_hardware_that_was_insisted_on_nothing_is_made() {
    let (slot, talk) = wishing(Fallback::Fail);
    let (_, message) = failure(&talk);
    assert!(message.starts_with("#/hardware/prefer"), "{message}");
    assert!(!slot.output("o.mp4").exists());
}
