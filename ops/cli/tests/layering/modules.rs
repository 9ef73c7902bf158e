//! The modules of a crate import each other in one direction.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
};

use crate::imports::{self, Imports, ModulePath};

/// The crates that have no circles; see [`imports`] for what counts as an import.
const WITHOUT_CIRCLES: [&str; 2] = ["gateway", "workers/media"];

/// The layers of the media crate, the lowest first: a module imports from its own layer and those before it. A folder
/// is named for all of its modules.
const LAYERS: &[&[&str]] = &[
    // Values, errors, and what is exchanged with the worker.
    &["error", "units", "statistics", "channel_layout", "decoders", "protocol", "heartbeat"],
    // Files, without FFmpeg.
    &["file", "whole_end", "stated_size", "text_encoding", "orientation"],
    // The libraries.
    &["timeline", "ffi"],
    // Inputs: how they are opened, and what they are.
    &["open", "probe", "cues", "fonts", "capability"],
    &["pipeline"],
    &["encoders"],
    &["packaging", "vif", "quality", "verify"],
    &["tasks"],
    &["engine", "hardware", "sandbox", "child"],
];

/// What the modules of the crate in a folder import.
fn imports_of(folder: &str) -> Imports {
    imports::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder).join("src"))
}

/// The shortest way along imports from a module to another; empty if there is none.
fn way(imports: &Imports, from: &ModulePath, to: &ModulePath) -> Vec<ModulePath> {
    let mut before = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(module) = queue.pop_front() {
        for next in &imports[module] {
            if !before.contains_key(next) {
                before.insert(next, module);
                queue.push_back(next);
            }
        }
    }
    let mut way = Vec::new();
    let mut at = to;
    while let Some(previous) = before.get(at) {
        way.push(at.clone());
        at = previous;
        if at == from {
            way.push(from.clone());
            break;
        }
    }
    way.reverse();
    way
}

/// The modules that a module can be reached from and that it reaches, and a way there and back.
fn circles(imports: &Imports) -> Vec<(BTreeSet<ModulePath>, Vec<ModulePath>)> {
    let mut found: Vec<(BTreeSet<ModulePath>, Vec<ModulePath>)> = Vec::new();
    for module in imports.keys() {
        if found.iter().any(|(members, _)| members.contains(module)) {
            continue;
        }
        let circle = way(imports, module, module);
        if circle.is_empty() {
            continue;
        }
        let connected = imports.keys().filter(|other| {
            !way(imports, module, other).is_empty() && !way(imports, other, module).is_empty()
        });
        found.push((connected.cloned().collect(), circle));
    }
    found
}

fn name(module: &ModulePath) -> String {
    if module.is_empty() { "the crate's root".to_owned() } else { module.join("::") }
}

/// The number of a module's layer; none for the crate's root, which only re-exports.
fn layer(module: &ModulePath) -> Option<usize> {
    let top = module.first()?;
    let layer = LAYERS.iter().position(|layer| layer.contains(&top.as_str()));
    Some(layer.unwrap_or_else(|| panic!("{top} is in no layer")))
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    for folder in WITHOUT_CIRCLES {
        let circles = circles(&imports_of(folder));
        let ways: Vec<String> = circles
            .iter()
            .map(|(_, way)| way.iter().map(name).collect::<Vec<_>>().join(" → "))
            .collect();
        assert!(ways.is_empty(), "{folder}: {}", ways.join("\n"));
    }
}

#[test]
fn a_module_of_the_media_crate_imports_only_from_its_own_layer_and_lower_ones() {
    let imports = imports_of("workers/media");
    let all = imports.iter().flat_map(|(module, named)| named.iter().map(move |to| (module, to)));
    let upward = all.filter(|(module, to)| layer(to) > layer(module));
    let upward: Vec<String> =
        upward.map(|(module, to)| format!("{} imports {}", name(module), name(to))).collect();
    assert!(upward.is_empty(), "{}", upward.join("\n"));
    for top in LAYERS.concat() {
        let exists = imports.keys().any(|module| module.first().is_some_and(|name| name == top));
        assert!(exists, "there is no module {top}");
    }
}

#[test]
fn an_item_is_imported_from_the_module_that_defines_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = [
        ("lib.rs", "mod low; mod high; mod other;"),
        ("low.rs", "mod part; pub(crate) use self::part::Part; const LOW: u8 = 0;"),
        // A path in a comment or in text is no import.
        (
            "low/part.rs",
            "pub struct Part; // crate::high::HIGH\nconst TEXT: &str = \"super::LOW\";",
        ),
        ("high.rs", "use crate::{low::{self as base, Part}}; const HIGH: u8 = base::LOW;"),
        ("other.rs", "#[cfg(test)] mod tests { use crate::low::LOW; } const C: char = '\"';"),
    ];
    fs::create_dir(folder.path().join("low")).unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let named = |imports: &BTreeSet<ModulePath>| imports.iter().map(name).collect::<Vec<_>>();
    let imports = imports::read(folder.path());
    assert_eq!(named(&imports[&vec!["high".to_owned()]]), ["low", "low::part"]);
    assert_eq!(imports.values().map(BTreeSet::len).sum::<usize>(), 2, "{imports:?}");
    assert!(circles(&imports).is_empty());

    fs::write(folder.path().join("low/part.rs"), "use super::super::high::HIGH;").unwrap();
    let imports = imports::read(folder.path());
    let found: Vec<_> = circles(&imports).iter().map(|(members, _)| named(members)).collect();
    assert_eq!(found, [["high", "low::part"]]);
}
