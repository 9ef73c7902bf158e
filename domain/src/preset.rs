//! A preset: default values for job requests, in immutable versions.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Category, Decider, job::PresetRef};

/// The tenant name under which global presets are stored.
pub const GLOBAL: &str = "_";

/// Maximum number of versions of a preset: all are read to decide on the next one.
pub const MAX_VERSIONS: usize = 100;

/// What happened to a preset. Names and fields are the storage format: added to, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PresetEvent {
    /// A new version was defined.
    #[serde(rename = "preset.defined")]
    Defined {
        /// The new version.
        #[serde(flatten)]
        version: PresetVersion,
    },
    /// The preset was deleted: no new job may use it.
    #[serde(rename = "preset.deleted")]
    Deleted {},
}

/// One version of a preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresetVersion {
    /// Version number, starting at 1.
    pub version: u32,
    /// The kind of job that it applies to.
    pub kind: String,
    /// Fields of that kind's request body.
    pub body: Map<String, Value>,
}

/// A command for a preset.
#[derive(Debug, Clone)]
pub enum PresetCommand {
    /// Define its next version.
    Define {
        /// The kind of job that it applies to.
        kind: String,
        /// Fields of that kind's request body.
        body: Map<String, Value>,
    },
    /// Delete it, so that no new job may use it.
    Delete,
}

/// State of a preset.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PresetState {
    /// Every version, by number.
    pub versions: BTreeMap<u32, PresetVersion>,
    /// True if no new job may use it.
    pub deleted: bool,
    /// Number of changes: versions and deletions.
    pub changes: u64,
}

/// The preset decider.
#[derive(Debug)]
pub struct Preset;

/// Why a preset command is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresetRejection {
    /// No such preset.
    #[error("there is no such preset")]
    NotFound,
    /// The kind of a preset cannot change.
    #[error("the preset is for `{kind}`; give another kind another name")]
    OtherKind {
        /// The kind of job that it applies to.
        kind: String,
    },
    /// The preset has the maximum number of versions.
    #[error("a preset has up to {MAX_VERSIONS} versions; use another name for more")]
    TooManyVersions,
}

impl PresetState {
    /// True if new jobs may use it.
    pub fn is_live(&self) -> bool {
        self.version(None).is_some()
    }

    /// The version with that number, or the newest one unless the preset is deleted.
    pub fn version(&self, number: Option<u32>) -> Option<&PresetVersion> {
        match number {
            Some(number) => self.versions.get(&number),
            None => self.versions.values().next_back().filter(|_| !self.deleted),
        }
    }
}

impl Decider for Preset {
    type Command = PresetCommand;
    type Event = PresetEvent;
    type State = PresetState;
    type Rejection = PresetRejection;

    const CATEGORY: &'static str = Category::Preset.as_str();

    fn decide(
        state: &PresetState,
        command: PresetCommand,
    ) -> Result<Vec<PresetEvent>, PresetRejection> {
        let newest = state.versions.values().next_back();
        match command {
            PresetCommand::Define { kind, body } => {
                if let Some(newest) = newest {
                    if newest.kind != kind {
                        return Err(PresetRejection::OtherKind { kind: newest.kind.clone() });
                    }
                    if newest.body == body && !state.deleted {
                        return Ok(vec![]);
                    }
                }
                if state.versions.len() >= MAX_VERSIONS {
                    return Err(PresetRejection::TooManyVersions);
                }
                let version = newest.map_or(1, |newest| newest.version.saturating_add(1));
                let version = PresetVersion { version, kind, body };
                Ok(vec![PresetEvent::Defined { version }])
            }
            PresetCommand::Delete if newest.is_none() => Err(PresetRejection::NotFound),
            PresetCommand::Delete if state.deleted => Ok(vec![]),
            PresetCommand::Delete => Ok(vec![PresetEvent::Deleted {}]),
        }
    }

    fn evolve(mut state: PresetState, event: &PresetEvent) -> PresetState {
        state.changes = state.changes.saturating_add(1);
        match event {
            PresetEvent::Defined { version } => {
                state.versions.insert(version.version, version.clone());
                state.deleted = false;
            }
            PresetEvent::Deleted {} => state.deleted = true,
        }
        state
    }
}

/// The text is not a valid preset reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a preset is named by 1 to 63 of a-z, 0-9 and `-`, like web-1080p, or web-1080p@3")]
pub struct BadPreset;

/// True if the text is a valid preset name: one safe subject token.
pub fn is_name(text: &str) -> bool {
    text.parse::<crate::Tenant>().is_ok()
}

/// A preset as a request names it: a name, optionally a version, and the prefix `_/` for a global
/// one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetSelector {
    /// The preset's name.
    pub name: String,
    /// The requested version; `None` for the newest.
    pub version: Option<u32>,
    /// True for the global preset, even if the tenant has one of the same name.
    pub global: bool,
}

impl FromStr for PresetSelector {
    type Err = BadPreset;

    fn from_str(text: &str) -> Result<Self, BadPreset> {
        let global_rest = text.strip_prefix(GLOBAL).and_then(|rest| rest.strip_prefix('/'));
        let (global, text) = (global_rest.is_some(), global_rest.unwrap_or(text));
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(version.parse().map_err(|_| BadPreset)?)),
            None => (text, None),
        };
        if !is_name(name) {
            return Err(BadPreset);
        }
        Ok(Self { name: name.to_owned(), version, global })
    }
}

impl fmt::Display for PresetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.global {
            write!(f, "{GLOBAL}/")?;
        }
        write!(f, "{}@{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::given;

    fn body(crf: u32) -> Map<String, Value> {
        [("crf".to_owned(), crf.into())].into_iter().collect()
    }

    fn define(crf: u32) -> PresetCommand {
        PresetCommand::Define { kind: "stream".to_owned(), body: body(crf) }
    }

    fn defined(version: u32, crf: u32) -> PresetEvent {
        let version = PresetVersion { version, kind: "stream".to_owned(), body: body(crf) };
        PresetEvent::Defined { version }
    }

    #[test]
    fn each_change_adds_an_immutable_version() {
        given::<Preset>([]).when(define(20)).then([defined(1, 20)]);
        given::<Preset>([defined(1, 20)]).when(define(20)).then_nothing();
        given::<Preset>([defined(1, 20)]).when(define(21)).then([defined(2, 21)]);
        let state = Preset::replay(&[defined(1, 20), defined(2, 21)]);
        assert_eq!(state.version(Some(1)).unwrap().body, body(20));
        assert_eq!(state.version(None).unwrap().version, 2);
    }

    #[test]
    fn a_deleted_preset_keeps_its_versions_but_has_no_newest() {
        let history = [defined(1, 20), PresetEvent::Deleted {}];
        let state = Preset::replay(&history);
        assert_eq!(state.version(None), None);
        assert!(state.version(Some(1)).is_some());
        given::<Preset>(history).when(define(20)).then([defined(2, 20)]);
        given::<Preset>([]).when(PresetCommand::Delete).then_rejected(&PresetRejection::NotFound);
    }

    #[test]
    fn its_kind_cannot_change() {
        let other = PresetCommand::Define { kind: "probe".to_owned(), body: body(1) };
        let kind = "stream".to_owned();
        given::<Preset>([defined(1, 20)])
            .when(other)
            .then_rejected(&PresetRejection::OtherKind { kind });
    }

    #[test]
    fn the_number_of_versions_is_limited() {
        let max = u32::try_from(MAX_VERSIONS).unwrap();
        let history = |versions| (1..=versions).map(|n| defined(n, n)).collect::<Vec<_>>();
        given::<Preset>(history(max - 1)).when(define(0)).then([defined(max, 0)]);
        given::<Preset>(history(max)).when(define(max)).then_nothing();
        given::<Preset>(history(max))
            .when(define(0))
            .then_rejected(&PresetRejection::TooManyVersions);
    }

    #[test]
    fn a_preset_is_referenced_by_name_and_optional_version() {
        let web = || "web".to_owned();
        let parsed = |version, global| Ok(PresetSelector { name: web(), version, global });
        assert_eq!("web".parse(), parsed(None, false));
        assert_eq!("web@4".parse(), parsed(Some(4), false));
        assert_eq!("_/web@4".parse(), parsed(Some(4), true));
        let pinned = PresetRef { name: web(), version: 4, global: true };
        assert_eq!(pinned.to_string().parse(), parsed(Some(4), true));
        for bad in ["", "Web", "web@", "web@x", "a.b", "web@-1", "_web", "a/web"] {
            assert_eq!(bad.parse::<PresetSelector>(), Err(BadPreset), "{bad}");
        }
    }
}
