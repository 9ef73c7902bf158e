//! The storage format, for ever: golden files are added, never edited. Each must be read by today's
//! code, and what today's code writes must be the newest golden file of its kind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use domain::{
    batch::BatchEvent, hook::HookEvent, job::JobEvent, key::RingEvent, preset::PresetEvent,
    room::RoomEvent,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

fn golden() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().flatten().map(|e| e.path()).collect();
    files.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

#[test]
fn every_event_ever_written_is_still_read_and_written_the_same() {
    let files = golden();
    assert!(files.len() >= 31, "a golden file is missing");
    for (name, bytes) in files {
        match name.split('.').next().unwrap() {
            "job" => holds::<JobEvent>(&name, &bytes),
            "batch" => holds::<BatchEvent>(&name, &bytes),
            "webhook" => holds::<HookEvent>(&name, &bytes),
            "preset" => holds::<PresetEvent>(&name, &bytes),
            "room" => holds::<RoomEvent>(&name, &bytes),
            "ring" => holds::<RingEvent>(&name, &bytes),
            _ => panic!("{name} is of no known kind"),
        }
    }
}

fn holds<E: Serialize + DeserializeOwned>(name: &str, bytes: &[u8]) {
    let event: E = rmp_serde::from_slice(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    let again = rmp_serde::to_vec_named(&event).unwrap();
    assert_eq!(again, bytes, "{name}: the storage format changed");
    let shown = serde_json::to_value(&event).unwrap();
    let Value::Object(fields) = shown else { panic!("{name} is no object") };
    assert!(name.starts_with(fields.keys().next().unwrap().as_str()), "{name}");
}
