//! The storage format, for ever: golden files are added, never edited. Each must be read by today's
//! code, and what today's code writes must be the newest golden file of its kind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{collections::BTreeMap, fs, path::Path};

use domain::{
    account::AccountEvent,
    batch::BatchEvent,
    hook::{HookEvent, HookRingEvent},
    job::JobEvent,
    kept::KeptEvent,
    key::{KeyEvent, RingEvent},
    preset::PresetEvent,
    quota::QuotaEvent,
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
    let version = |name: &str| name.rsplit_once('.').unwrap().1.parse::<u32>().unwrap();
    let kind = |name: &str| name.rsplit_once('.').unwrap().0.to_owned();
    let newest: BTreeMap<String, u32> =
        files.iter().fold(BTreeMap::new(), |mut newest, (name, _)| {
            let known = newest.entry(kind(name)).or_default();
            *known = version(name).max(*known);
            newest
        });
    for (name, bytes) in files {
        let newest = newest[&kind(&name)] == version(&name);
        match name.split('.').next().unwrap() {
            "job" => holds::<JobEvent>(&name, &bytes, newest),
            "batch" => holds::<BatchEvent>(&name, &bytes, newest),
            "webhook" => holds::<HookEvent>(&name, &bytes, newest),
            "preset" => holds::<PresetEvent>(&name, &bytes, newest),
            "room" => holds::<RoomEvent>(&name, &bytes, newest),
            "account" => holds::<AccountEvent>(&name, &bytes, newest),
            "key" => holds::<KeyEvent>(&name, &bytes, newest),
            "quota" => holds::<QuotaEvent>(&name, &bytes, newest),
            "kept" => holds::<KeptEvent>(&name, &bytes, newest),
            "hookring" => holds::<HookRingEvent>(&name, &bytes, newest),
            "ring" => holds::<RingEvent>(&name, &bytes, newest),
            _ => panic!("{name} is of no known kind"),
        }
    }
}

fn holds<E: Serialize + DeserializeOwned>(name: &str, bytes: &[u8], newest: bool) {
    let event: E = rmp_serde::from_slice(bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    let again = rmp_serde::to_vec_named(&event).unwrap();
    assert!(!newest || again == bytes, "{name}: the storage format changed");
    let shown = serde_json::to_value(&event).unwrap();
    let Value::Object(fields) = shown else { panic!("{name} is no object") };
    assert!(name.starts_with(fields.keys().next().unwrap().as_str()), "{name}");
}
