//! A preset: what jobs need not say, in versions of which none ever changes.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Decider, job::PresetRef};

/// Everybody's presets stand under this name in the place of a tenant's.
pub const GLOBAL: &str = "_";

/// Versions that a preset may have: all of them are read to decide about the next.
pub const MAX_VERSIONS: usize = 100;

/// What happened to a preset. Names and fields are the storage format: added to, never changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum PresetEvent {
    /// It has another version.
    #[serde(rename = "preset.defined")]
    Defined {
        /// Which.
        #[serde(flatten)]
        version: PresetVersion,
    },
    /// No new job may use it.
    #[serde(rename = "preset.deleted")]
    Deleted {},
}

/// One version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PresetVersion {
    /// 1 for the first.
    pub version: u32,
    /// The kind of job that it is for.
    pub kind: String,
    /// Fields of that kind's body.
    pub body: Map<String, Value>,
}

/// What may be asked.
#[derive(Debug, Clone)]
pub enum PresetCommand {
    /// Say what it is from now on.
    Define {
        /// The kind of job that it is for.
        kind: String,
        /// Fields of that kind's body.
        body: Map<String, Value>,
    },
    /// Let no new job use it.
    Delete,
}

/// Where a preset stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PresetState {
    /// Every version, by its number.
    pub versions: BTreeMap<u32, PresetVersion>,
    /// No new job may use it.
    pub deleted: bool,
    /// Times it changed: its versions and deletions.
    pub changes: u64,
}

/// The preset decider.
#[derive(Debug)]
pub struct Preset;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PresetRejection {
    /// No such preset.
    #[error("there is no such preset")]
    NotFound,
    /// Its kind is for good.
    #[error("the preset is for `{kind}`; give another kind another name")]
    OtherKind {
        /// The kind of job that it is for.
        kind: String,
    },
    /// It has as many versions as a preset may have.
    #[error("a preset has up to {MAX_VERSIONS} versions; go on under another name")]
    TooManyVersions,
}

impl PresetState {
    /// True if new jobs may use it.
    pub fn is_live(&self) -> bool {
        self.version(None).is_some()
    }

    /// The version of that number, or the newest.
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

    const CATEGORY: &'static str = "preset";

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

/// A text that names no preset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a preset is named by 1 to 63 of a-z, 0-9 and `-`, like web-1080p, or web-1080p@3")]
pub struct BadPreset;

/// True if a preset may be called so: one safe subject token.
pub fn is_name(text: &str) -> bool {
    text.parse::<crate::Tenant>().is_ok()
}

/// A preset as a job asks for it: a name, perhaps a version, and `_/` before it for everybody's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub name: String,
    /// The newest if none.
    pub version: Option<u32>,
    /// Everybody's, whether or not there is one of the tenant's own.
    pub global: bool,
}

impl FromStr for Wanted {
    type Err = BadPreset;

    fn from_str(text: &str) -> Result<Self, BadPreset> {
        let everybodys = text.strip_prefix(GLOBAL).and_then(|rest| rest.strip_prefix('/'));
        let (global, text) = (everybodys.is_some(), everybodys.unwrap_or(text));
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
    fn each_change_is_another_version_and_none_is_ever_changed() {
        given::<Preset>([]).when(define(20)).then([defined(1, 20)]);
        given::<Preset>([defined(1, 20)]).when(define(20)).then_nothing();
        given::<Preset>([defined(1, 20)]).when(define(21)).then([defined(2, 21)]);
        let state = Preset::replay(&[defined(1, 20), defined(2, 21)]);
        assert_eq!(state.version(Some(1)).unwrap().body, body(20));
        assert_eq!(state.version(None).unwrap().version, 2);
    }

    #[test]
    fn a_deleted_one_has_its_versions_and_no_newest() {
        let history = [defined(1, 20), PresetEvent::Deleted {}];
        let state = Preset::replay(&history);
        assert_eq!(state.version(None), None);
        assert!(state.version(Some(1)).is_some());
        given::<Preset>(history).when(define(20)).then([defined(2, 20)]);
        given::<Preset>([]).when(PresetCommand::Delete).then_rejected(&PresetRejection::NotFound);
    }

    #[test]
    fn its_kind_is_for_good() {
        let other = PresetCommand::Define { kind: "probe".to_owned(), body: body(1) };
        let kind = "stream".to_owned();
        given::<Preset>([defined(1, 20)])
            .when(other)
            .then_rejected(&PresetRejection::OtherKind { kind });
    }

    #[test]
    fn its_versions_are_counted() {
        let most = u32::try_from(MAX_VERSIONS).unwrap();
        let history = |versions| (1..=versions).map(|n| defined(n, n)).collect::<Vec<_>>();
        given::<Preset>(history(most - 1)).when(define(0)).then([defined(most, 0)]);
        given::<Preset>(history(most)).when(define(most)).then_nothing();
        given::<Preset>(history(most))
            .when(define(0))
            .then_rejected(&PresetRejection::TooManyVersions);
    }

    #[test]
    fn a_preset_is_asked_for_by_name_and_perhaps_version() {
        let web = || "web".to_owned();
        let wanted = |version, global| Ok(Wanted { name: web(), version, global });
        assert_eq!("web".parse(), wanted(None, false));
        assert_eq!("web@4".parse(), wanted(Some(4), false));
        assert_eq!("_/web@4".parse(), wanted(Some(4), true));
        let pinned = PresetRef { name: web(), version: 4, global: true };
        assert_eq!(pinned.to_string().parse(), wanted(Some(4), true));
        for bad in ["", "Web", "web@", "web@x", "a.b", "web@-1", "_web", "a/web"] {
            assert_eq!(bad.parse::<Wanted>(), Err(BadPreset), "{bad}");
        }
    }
}
