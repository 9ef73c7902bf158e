//! The shared presets that ffapi ships. They are defined as events when a gateway starts; what an admin
//! has changed or deleted stays as it is.

use std::sync::Arc;

use ffapi_commands::Caller;
use ffapi_domain::preset::{GLOBAL, Preset, PresetCommand};
use ffapi_nats::Actor;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;

use crate::{problem::Problem, state::Gateway};

/// A shipped preset. What it is for stands in the same file, and in docs/presets.md.
#[derive(Debug, Deserialize)]
struct SystemPreset {
    name: String,
    kind: String,
    body: Map<String, Value>,
}

const SHIPPED: &str = include_str!("system.json");

/// The actor of their definitions in the log.
const ACTOR: &str = "system presets";
/// How long after a failure they are defined again.
const RETRY_INTERVAL: std::time::Duration = std::time::Duration::from_secs(5);

/// All shipped presets.
fn all() -> Vec<SystemPreset> {
    serde_json::from_str(SHIPPED).unwrap_or_default()
}

/// Defines the shipped presets that are missing or outdated.
///
/// # Errors
/// When the log is unavailable; calling it again continues.
pub(crate) async fn define(gateway: &Gateway) -> Result<(), Problem> {
    for preset in all() {
        define_one(gateway, &preset).await?;
    }
    Ok(())
}

/// Like [`define`], retried until it succeeds or `stop` is cancelled.
pub(crate) async fn define_later(gateway: Arc<Gateway>, stop: &CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY_INTERVAL) => {}
        }
        match define(&gateway).await {
            Ok(()) => return,
            Err(problem) => tracing::warn!(%problem, "the system presets are not defined yet"),
        }
    }
}

async fn define_one(gateway: &Gateway, preset: &SystemPreset) -> Result<(), Problem> {
    let history = gateway.commands.history::<Preset>(GLOBAL, &preset.name).await?;
    let system = Actor::Process(ACTOR.to_owned());
    if history.last().is_some_and(|(_, newest)| newest.actor != system) {
        return Ok(());
    }
    let command = PresetCommand::Define { kind: preset.kind.clone(), body: preset.body.clone() };
    let caller = Caller::process(ACTOR);
    gateway.commands.handle::<Preset>(GLOBAL, &preset.name, &caller, command).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ffapi_domain::preset::is_name;
    use poem_openapi::types::Any;

    use super::*;
    use crate::presets::define::fields;

    #[test]
    fn every_shipped_preset_describes_a_job_and_is_documented() {
        let presets = all();
        assert!(presets.len() >= 30, "{}", presets.len());
        let names: BTreeSet<&String> = presets.iter().map(|preset| &preset.name).collect();
        assert_eq!(names.len(), presets.len());
        let docs = include_str!("../../../docs/presets.md");
        let described: Vec<Value> = serde_json::from_str(SHIPPED).unwrap();
        for (SystemPreset { name, kind, body }, described) in presets.iter().zip(described) {
            let about = described["about"].as_str().unwrap();
            assert!(is_name(name), "{name}");
            let checked = fields(kind, Any(Value::Object(body.clone())));
            assert!(checked.is_ok(), "{name}: {checked:?}");
            assert!(docs.contains(&format!("| `{name}` | `{kind}` | {about} |")), "{name}");
        }
    }
}
