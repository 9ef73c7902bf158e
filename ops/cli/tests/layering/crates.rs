//! The allowed dependencies between crates, compared with the metadata of cargo.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

const OURS: &[(&str, &[&str])] = &[
    ("ffapi-domain", &[]),
    ("ffapi-nats", &[]),
    ("ffapi-embedded", &[]),
    ("ffapi-test-stores", &[]),
    (
        "ffapi-backup",
        &["ffapi-domain", "ffapi-nats", "ffapi-projections", "ffapi-storage", "ffapi-embedded"],
    ),
    ("ffapi-commands", &["ffapi-domain", "ffapi-nats"]),
    ("ffapi-projections", &["ffapi-domain", "ffapi-nats"]),
    ("ffapi-media", &["ffapi-domain"]),
    ("ffapi-storage", &["ffapi-domain"]),
    (
        "ffapi-workers",
        &[
            "ffapi-domain",
            "ffapi-nats",
            "ffapi-commands",
            "ffapi-projections",
            "ffapi-media",
            "ffapi-storage",
        ],
    ),
    (
        "ffapi-gateway",
        &["ffapi-domain", "ffapi-commands", "ffapi-projections", "ffapi-storage", "ffapi-nats"],
    ),
    (
        "ffapi",
        &[
            "ffapi-domain",
            "ffapi-nats",
            "ffapi-commands",
            "ffapi-projections",
            "ffapi-workers",
            "ffapi-media",
            "ffapi-storage",
            "ffapi-gateway",
            "ffapi-embedded",
            "ffapi-backup",
        ],
    ),
];

/// The only crate that may use a library, besides the servers that tests start.
const SOLE_IMPORTERS: &[(&str, &str)] = &[
    ("async-nats", "ffapi-nats"),
    ("sqlx", "ffapi-projections"),
    ("poem", "ffapi-gateway"),
    ("poem-openapi", "ffapi-gateway"),
    ("ffmpeg-the-third", "ffapi-media"),
    ("object_store", "ffapi-storage"),
    ("opentelemetry_sdk", "ffapi"),
    ("opentelemetry-otlp", "ffapi"),
    ("opentelemetry-prometheus", "ffapi"),
    ("prometheus", "ffapi"),
];

fn imports() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let name = package["name"].as_str().unwrap().to_owned();
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let normal = dependencies.filter(|dependency| dependency["kind"].is_null());
            (name, normal.map(|d| d["name"].as_str().unwrap().to_owned()).collect())
        })
        .collect()
}

#[test]
fn every_crate_depends_only_on_the_allowed_crates() {
    let imports = imports();
    assert_eq!(imports.len(), OURS.len(), "a new crate needs an entry here");
    for (name, allowed) in OURS {
        for import in &imports[*name] {
            let ours = OURS.iter().any(|(our, _)| our == import);
            assert!(!ours || allowed.contains(&import.as_str()), "{name} imports {import}");
        }
    }
}

#[test]
fn each_external_system_is_accessed_by_one_crate_only() {
    for (library, allowed) in SOLE_IMPORTERS {
        for (importer, dependencies) in imports() {
            let imports = dependencies.iter().any(|name| name == library);
            let may = importer == *allowed || importer == "ffapi-test-stores";
            assert!(!imports || may, "{importer} imports {library}");
        }
    }
}

/// True for a module that may know OpenTelemetry: the instruments and trace context of a crate, and
/// their exporters.
fn has_instruments(path: &Path) -> bool {
    path.components().filter_map(|part| part.as_os_str().to_str()).any(|part| {
        ["metrics", "otlp", "telemetry", "trace"].contains(&part.trim_end_matches(".rs"))
    })
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn instruments_are_in_one_module_of_each_crate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let crates = [
        "nats",
        "commands",
        "projections",
        "workers",
        "workers/storage",
        "gateway",
        "ops/backup",
        "ops/cli",
    ];
    for folder in crates {
        let (mut files, mut instruments) = (Vec::new(), 0);
        sources(&root.join(folder).join("src"), &mut files);
        for file in files {
            // Protocol buffers are another crate, and of the export of the audit trail.
            let text = std::fs::read_to_string(&file).unwrap();
            let imports = text.replace("opentelemetry_proto", "").contains("opentelemetry");
            instruments += usize::from(imports);
            assert!(!imports || has_instruments(&file), "{}", file.display());
        }
        assert!(instruments > 0, "{folder} has no instruments");
    }
}

/// Where subjects may be written: their functions, the names of spans, and the labels of metrics.
const WRITE_SUBJECTS: [&str; 3] =
    ["nats/src/metrics/labels.rs", "nats/src/subject.rs", "nats/src/trace/messaging.rs"];

#[test]
fn subjects_are_written_in_one_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let prefixes = ["ev", "work", "logs", "idem", "live", "presence", "ctl", "projection", "audit"];
    let mut files = Vec::new();
    for folder in ["nats", "commands", "projections", "workers", "gateway", "ops/backup", "ops/cli"]
    {
        sources(&root.join(folder).join("src"), &mut files);
    }
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        // Tests may compare with what is written.
        let code = text.split("#[cfg(test)]").next().unwrap();
        let writes = prefixes.iter().any(|prefix| code.contains(&format!("\"{prefix}.")));
        if writes {
            found.push(name);
        }
    }
    found.sort();
    assert_eq!(found, WRITE_SUBJECTS, "others use ffapi_nats::subject");
}

#[test]
fn only_the_media_child_is_linked_with_ffmpeg() {
    let linked = |binary: &str| {
        let output = Command::new("nm").arg(binary).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        // Defined by the program, or by a library that it is linked with.
        String::from_utf8(output.stdout).unwrap().contains(" avcodec_send_packet")
    };
    assert!(!linked(env!("CARGO_BIN_EXE_ffapi")));
    assert!(linked(env!("CARGO_BIN_EXE_ffapi-media-child")));
}
