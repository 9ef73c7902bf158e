//! The storage format is stable: golden files are added, never edited. Each must be readable by the
//! current code, and the current code must write the newest golden file of each kind. Every event
//! has a sample in `samples`, and every sample a golden file; `UPDATE_SNAPSHOTS=1` writes the
//! missing ones.

// A new event must have a sample.
#![warn(clippy::wildcard_enum_match_arm)]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    any::type_name,
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use ffapi_domain::{
    account::AccountEvent,
    audit::AuditEvent,
    batch::BatchEvent,
    dispatch::DispatchEvent,
    job::JobEvent,
    key::{KeyEvent, KeyQuotaEvent},
    media::{JobPlan, MediaRequest, Operation},
    output::OutputEvent,
    preset::PresetEvent,
    queue_quota::QueueQuotaEvent,
    quota::QuotaEvent,
    restoration::LogEvent,
    storage_quota::StorageQuotaEvent,
    upload::UploadEvent,
    webhook::{WebhookEvent, WebhookQuotaEvent},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use self::samples::{Samples, cases::cases};

#[path = "samples"]
mod samples {
    //! A sample of every stored event.

    mod account;
    mod audit;
    mod batch;
    pub(crate) mod cases;
    mod dispatch;
    mod job;
    mod key;
    mod media;
    mod output;
    mod plan;
    mod preset;
    mod queue_quota;
    mod quota;
    mod restoration;
    mod storage_quota;
    mod upload;
    mod values;
    mod webhook;

    /// Samples of every variant of an enum.
    pub(crate) trait Samples: Sized {
        /// The sample of the variant after this one; that of the first variant for `None`.
        /// Implemented as a `match` without `_`, so that a new variant does not compile until it is
        /// added here. Each sample has a value in every field, including optional ones.
        fn after(case: Option<&Self>) -> Option<Self>;

        /// Samples that leave fields out. Each has its own golden file.
        fn sparse() -> Vec<Self> {
            vec![]
        }

        /// One sample of each variant.
        fn full() -> Vec<Self> {
            let all = std::iter::successors(Self::after(None), |case| Self::after(Some(case)));
            // A cyclic chain ends as well.
            all.take(100).collect()
        }
    }
}

/// Everything that is stored, by the first part of the golden file names.
const CATEGORIES: &[Category] = &[
    Category::of::<AccountEvent>("account"),
    Category::of::<AuditEvent>("audit"),
    Category::of::<BatchEvent>("batch"),
    Category::of::<DispatchEvent>("dispatch"),
    Category::of::<WebhookEvent>("webhook"),
    Category::of::<WebhookQuotaEvent>("hookring"),
    Category::of::<JobEvent>("job"),
    Category::of::<StorageQuotaEvent>("kept"),
    Category::of::<KeyEvent>("key"),
    Category::of::<LogEvent>("log"),
    Category::of::<OutputEvent>("output"),
    Category::of::<PresetEvent>("preset"),
    Category::of::<QuotaEvent>("quota"),
    Category::of::<KeyQuotaEvent>("ring"),
    Category::of::<QueueQuotaEvent>("room"),
    Category::of::<UploadEvent>("upload"),
];

/// A category of events, and operations on its golden files and samples.
struct Category {
    prefix: &'static str,
    kinds: fn() -> &'static [&'static str],
    check_golden: fn(&Golden, bool),
    samples: fn(&[Golden]) -> Vec<Sample>,
    check: fn(),
}

impl Category {
    const fn of<E>(prefix: &'static str) -> Self
    where
        E: Samples + Serialize + DeserializeOwned + PartialEq + Debug,
    {
        Self {
            prefix,
            kinds: cases::<E>,
            check_golden: check_golden::<E>,
            samples: written::<E>,
            check: check::<E>,
        }
    }
}

/// A golden file: `<kind>.<version>.msgpack`.
struct Golden {
    kind: String,
    version: u32,
    bytes: Vec<u8>,
}

/// A sample as the current code writes it.
struct Sample {
    kind: String,
    bytes: Vec<u8>,
    /// The newest golden file of its kind that decodes to this sample.
    golden: Option<Vec<u8>>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn read() -> Vec<Golden> {
    let paths = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let golden = |path: PathBuf| {
        let (kind, version) = path.file_stem().unwrap().to_str().unwrap().rsplit_once('.').unwrap();
        let (kind, version) = (kind.to_owned(), version.parse().unwrap());
        Golden { kind, version, bytes: fs::read(&path).unwrap() }
    };
    let mut files: Vec<_> = paths.map(golden).collect();
    files.sort_by(|a, b| (&a.kind, a.version).cmp(&(&b.kind, b.version)));
    files
}

/// The golden files, by kind and version; read once, after the missing ones are written if
/// requested.
static GOLDEN: LazyLock<Vec<Golden>> = LazyLock::new(|| {
    let files = read();
    if std::env::var_os("UPDATE_SNAPSHOTS").is_none() {
        return files;
    }
    let mut newest = newest(&files);
    for sample in all_samples(&files).into_iter().filter(|sample| !sample.has_golden()) {
        let version = newest.entry(sample.kind.clone()).or_default();
        *version += 1;
        let path = folder().join(format!("{}.{version}.msgpack", sample.kind));
        assert!(!path.exists(), "a golden file is never changed");
        fs::write(path, sample.bytes).unwrap();
    }
    read()
});

/// The highest version of each kind.
fn newest(files: &[Golden]) -> BTreeMap<String, u32> {
    files.iter().map(|golden| (golden.kind.clone(), golden.version)).collect()
}

fn all_samples(files: &[Golden]) -> Vec<Sample> {
    CATEGORIES.iter().flat_map(|category| (category.samples)(files)).collect()
}

impl Sample {
    fn has_golden(&self) -> bool {
        self.golden.as_ref() == Some(&self.bytes)
    }
}

/// The prefix of the golden files of a category of the log.
const fn prefix(category: ffapi_domain::Category) -> &'static str {
    use ffapi_domain::Category as Log;
    match category {
        Log::Webhook => "webhook",
        Log::Account
        | Log::Batch
        | Log::Dispatch
        | Log::Job
        | Log::Key
        | Log::KeyQuota
        | Log::Output
        | Log::Preset
        | Log::QueueQuota
        | Log::Quota
        | Log::Restoration
        | Log::StorageQuota
        | Log::Upload
        | Log::WebhookQuota => category.as_str(),
    }
}

#[test]
fn every_category_of_the_log_has_golden_files() {
    for category in ffapi_domain::Category::ALL {
        let has_files = |golden: &Golden| golden.kind.split('.').next() == Some(prefix(*category));
        assert!(GOLDEN.iter().any(has_files), "{category:?}");
        assert!(CATEGORIES.iter().any(|of| of.prefix == prefix(*category)), "{category:?}");
    }
}

#[test]
fn every_golden_file_is_read_and_written_unchanged() {
    assert!(GOLDEN.len() >= 73, "a golden file is missing");
    let newest = newest(&GOLDEN);
    for golden in GOLDEN.iter() {
        let kind = &golden.kind;
        let prefix = kind.split('.').next().unwrap();
        let category = CATEGORIES.iter().find(|category| category.prefix == prefix);
        let category = category.unwrap_or_else(|| panic!("{kind} is of no known kind"));
        (category.check_golden)(golden, newest[kind] == golden.version);
    }
}

fn check_golden<E: Serialize + DeserializeOwned>(golden: &Golden, newest: bool) {
    let Golden { kind, version, bytes } = golden;
    let event: E = rmp_serde::from_slice(bytes).unwrap_or_else(|e| panic!("{kind}.{version}: {e}"));
    let again = rmp_serde::to_vec_named(&event).unwrap();
    assert!(!newest || again == *bytes, "{kind}.{version}: the storage format changed");
    assert_eq!(kind_of(&event), *kind, "{kind}.{version}");
}

/// The name of an event's variant in the log.
fn kind_of<E: Serialize>(event: &E) -> String {
    let shown = serde_json::to_value(event).unwrap();
    let Value::Object(fields) = shown else { panic!("{shown} is not an object") };
    let [kind] = &fields.keys().collect::<Vec<_>>()[..] else { panic!("{fields:?} has no kind") };
    (*kind).clone()
}

/// A job shows the plan that it followed as long as the current code can read it.
#[test]
fn every_plan_that_was_stored_is_read() {
    let mut plans = 0;
    for Golden { kind, version, bytes } in GOLDEN.iter() {
        if kind != "job.outputs_sealed" {
            continue;
        }
        let event: JobEvent = rmp_serde::from_slice(bytes).unwrap();
        let JobEvent::OutputsSealed { plan: Some(plan), .. } = event else { continue };
        let plan = plan.as_ref().unwrap().clone();
        let read = serde_json::from_value::<JobPlan>(plan);
        assert!(read.is_ok(), "{kind}.{version}: {read:?}");
        plans += 1;
    }
    assert!(plans > 0);
}

#[test]
fn every_sample_matches_the_newest_golden_file_of_its_kind() {
    let mut all: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for sample in all_samples(&GOLDEN) {
        let kind = &sample.kind;
        let golden = sample.golden.as_ref();
        let golden = golden.unwrap_or_else(|| {
            panic!("no golden file is read as this sample of {kind}; UPDATE_SNAPSHOTS=1 writes it")
        });
        assert!(
            sample.bytes == *golden,
            "{kind} is written differently; UPDATE_SNAPSHOTS=1 writes the next version"
        );
        all.entry(sample.kind).or_default().push(sample.bytes);
    }
    let newest = newest(&GOLDEN);
    for golden in GOLDEN.iter().filter(|golden| newest[&golden.kind] == golden.version) {
        let Golden { kind, version, bytes } = golden;
        let samples = all.get(kind).map_or(&[][..], Vec::as_slice);
        assert!(
            samples.contains(bytes),
            "{kind}.{version} is the newest, and no sample matches it"
        );
    }
}

/// The sparse samples first, so that the newest golden file of a new variant is a full one.
fn written<E: Samples + Serialize + DeserializeOwned + PartialEq>(files: &[Golden]) -> Vec<Sample> {
    let sample = |event: E| {
        let kind = kind_of(&event);
        let decodes_to_sample = |golden: &&Golden| {
            let read = rmp_serde::from_slice::<E>(&golden.bytes);
            golden.kind == kind && read.is_ok_and(|read| read == event)
        };
        let golden = files.iter().rfind(decodes_to_sample).map(|golden| golden.bytes.clone());
        Sample { bytes: rmp_serde::to_vec_named(&event).unwrap(), golden, kind }
    };
    E::sparse().into_iter().chain(E::full()).map(sample).collect()
}

#[test]
fn every_event_has_a_full_sample_that_round_trips() {
    for category in CATEGORIES {
        (category.check)();
    }
    // Types stored within events.
    check::<MediaRequest>();
    check::<Operation>();
}

fn check<E: Samples + Serialize + DeserializeOwned + PartialEq + Debug>() {
    let kinds: Vec<_> = E::full().iter().map(kind_of).collect();
    assert_eq!(kinds, cases::<E>(), "{}: one sample of each, in order", type_name::<E>());
    for event in E::full() {
        let kind = kind_of(&event);
        let shown = format!("{event:?} {}", serde_json::to_value(&event).unwrap());
        for empty in ["None", "null", "false", "[]", "{}", "\"\"", "(erased)"] {
            let of_no_fields = format!("{{\"{kind}\":{{}}}}");
            let shown = shown.replace(&of_no_fields, "");
            assert!(!shown.contains(empty), "{kind}: a field is {empty}: {shown}");
        }
    }
    for event in E::sparse().into_iter().chain(E::full()) {
        let bytes = rmp_serde::to_vec_named(&event).unwrap();
        let again: E =
            rmp_serde::from_slice(&bytes).unwrap_or_else(|e| panic!("{}: {e}", kind_of(&event)));
        assert_eq!(again, event);
    }
}

/// Covers enums that are missing in the list: they are found in the sources.
#[test]
fn every_event_in_the_sources_has_a_category() {
    let mut sources = vec![];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { sources.push(path) }
        }
    }
    let texts: Vec<_> = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let named = texts.iter().flat_map(|text| text.split("rename = \"").skip(1));
    let named = named.filter_map(|rest| rest.split('"').next());
    let named: BTreeSet<_> = named.filter(|name| name.contains('.')).collect();
    let of_category = |category: &'static Category| {
        let kinds = (category.kinds)().iter().copied();
        kinds.inspect(|kind| assert_eq!(kind.split('.').next(), Some(category.prefix)))
    };
    let known: BTreeSet<_> = CATEGORIES.iter().flat_map(of_category).collect();
    assert_eq!(named, known);
}
