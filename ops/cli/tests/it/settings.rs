//! Settings as operators write them.

use serde_json::{Value, json};

use crate::stack::ffapi;

/// What `ffapi config print` shows with this file and these variables, or its error.
fn print(file: &str, variables: &[(&str, &str)]) -> Result<Value, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ffapi.toml");
    std::fs::write(&path, file).unwrap();
    let mut command = ffapi();
    command.arg("--config").arg(&path).args(["config", "print"]);
    let done = command.envs(variables.iter().copied()).output().unwrap();
    if !done.status.success() {
        return Err(String::from_utf8(done.stderr).unwrap());
    }
    Ok(serde_json::from_slice(&done.stdout).unwrap())
}

#[test]
fn times_have_units_or_count_in_the_unit_of_their_setting() {
    let file = r#"
        [gateway]
        idle_timeout = 120
        max_key_lag = 2500
        [worker]
        stall_timeout = "1m 30s"
        [webhooks]
        schedule = [5, "5m"]
        [backup.keep]
        vault_days = 14
    "#;
    let variables = [
        ("FFAPI_WORKER__DRAIN", "250ms"),
        ("FFAPI_SCHEDULING__AGING", "300"),
        ("FFAPI_WEBHOOKS__TIMEOUT", "10s"),
        ("FFAPI_RETENTION__OUTPUTS", "0"),
        ("FFAPI_RETENTION__EVERY", "30m"),
    ];
    let shown = print(file, &variables).unwrap();
    for (setting, expected) in [
        ("/gateway/idle_timeout", json!("2m")),
        ("/gateway/max_key_lag", json!("2s 500ms")),
        ("/worker/stall_timeout", json!("1m 30s")),
        ("/worker/drain", json!("250ms")),
        ("/scheduling/aging", json!("5m")),
        ("/webhooks/timeout", json!("10s")),
        ("/webhooks/schedule", json!(["5s", "5m"])),
        ("/retention/outputs", json!("0s")),
        ("/retention/uploads", json!("7days")),
        ("/retention/every", json!("30m")),
        ("/backup/keep/vault_days", json!("14days")),
    ] {
        assert_eq!(shown.pointer(setting), Some(&expected), "{setting}");
    }
}

#[test]
fn a_list_of_times_in_the_environment_has_commas_or_brackets() {
    for text in ["5s,5m", "5,300", "[5, 300]"] {
        let shown = print("", &[("FFAPI_WEBHOOKS__SCHEDULE", text)]).unwrap();
        assert_eq!(shown["webhooks"]["schedule"], json!(["5s", "5m"]), "{text}");
    }
}

#[test]
fn a_setting_that_is_no_time_is_named_with_what_would_be_one() {
    let error = print("", &[("FFAPI_WORKER__DRAIN", "soon")]).unwrap_err();
    assert!(error.contains("soon") && error.contains("`30s`"), "{error}");
    assert!(error.to_lowercase().contains("worker.drain"), "{error}");
}
