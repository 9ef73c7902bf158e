//! A data folder of an earlier version opens with everything in it, even if its database is lost.

use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    operator,
    stack::{Stack, quick},
};

/// Starts today's binary on the data folder that commit 27380ab wrote; also what its API answered.
async fn opened() -> (Stack, Value) {
    let data = ffapi_embedded::temporary_folder().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/data-folder-27380ab.tar.gz");
    let unpacked = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(data.path()).status();
    assert!(unpacked.unwrap().success());
    let facts = std::fs::read(data.path().join("facts.json")).unwrap();
    let forever = [
        ("FFAPI_RETENTION__OUTPUTS", "0"),
        ("FFAPI_RETENTION__UPLOADS", "0"),
        ("FFAPI_RETENTION__DELIVERIES", "0"),
    ];
    let stack = Stack::on(data, &forever).await;
    (stack, serde_json::from_slice(&facts).unwrap())
}

#[tokio::test]
async fn everything_that_an_earlier_version_stored_is_read() {
    let (stack, facts) = opened().await;
    let caught_up = stack
        .poll("/admin/projections", |answer| {
            let all = answer.json["data"].as_array();
            all.is_some_and(|all| all.iter().all(|model| model["lag"] == 0))
        })
        .await;
    for model in caught_up.json["data"].as_array().unwrap() {
        assert_eq!(model["parked"], 0, "{model:#?}");
    }
    for (id, expected) in facts["jobs"].as_object().unwrap() {
        let job = stack.get(&format!("/jobs/{id}")).await;
        for field in ["kind", "status"] {
            assert_eq!(job.json[field], expected[field], "{job:#?}");
        }
        let attempts = job.json["attempts"].as_array().unwrap().len();
        assert_eq!(attempts as u64, expected["attempts"], "{job:#?}");
        assert_eq!(json!(stack.history(id).await), expected["events"]);
        for (name, sha256) in expected["outputs"].as_object().unwrap() {
            let request = stack.request(Method::GET, &format!("/jobs/{id}/outputs/{name}"));
            let bytes = request.send().await.unwrap().bytes().await.unwrap();
            assert_eq!(hex::encode(Sha256::digest(&bytes)), *sha256, "{id} {name}");
        }
    }
    for (id, counts) in facts["batches"].as_object().unwrap() {
        assert_eq!(stack.get(&format!("/batch/{id}")).await.json["counts"], *counts);
    }
    for (name, version) in facts["presets"].as_object().unwrap() {
        assert_eq!(stack.get(&format!("/presets/{name}")).await.json["version"], *version);
    }
    for (id, status) in facts["keys"].as_object().unwrap() {
        assert_eq!(stack.get(&format!("/api-keys/{id}")).await.json["status"], *status, "{id}");
    }
    let webhook = facts["webhook"].as_str().unwrap();
    assert_eq!(stack.get(&format!("/webhooks/{webhook}")).await.text("/description"), "orders");
    let acme = stack.get("/accounts/acme").await;
    assert_eq!(acme.json["tier"], facts["acme"]["tier"]);
    assert_eq!(acme.json["limits"]["concurrent_jobs"], facts["acme"]["concurrent_jobs"]);
    let verified = stack.post("/admin/audit/verify", &json!({})).await;
    assert_eq!(verified.json["intact"], true, "{verified:#?}");
    let (well, text) = operator::run(&stack, &["replay"]);
    assert!(well, "{text}");
}

#[tokio::test]
async fn keys_uploads_and_the_queue_of_an_earlier_version_are_in_use_again() {
    let (stack, facts) = opened().await;
    let reader = facts["reader"][1].as_str().unwrap();
    let listed = stack.send(stack.request_as(reader, Method::GET, "/jobs")).await;
    assert_eq!(listed.status, StatusCode::OK, "{listed:#?}");
    let upload = facts["upload"].as_str().unwrap();
    let job = stack.convert(upload, "new.mp4", quick()).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
    let jobs = facts["jobs"].as_object().unwrap();
    let (queued, _) = jobs.iter().find(|(_, job)| job["status"] == "queued").unwrap();
    stack.post(&format!("/jobs/{queued}/cancel"), &json!({})).await;
    assert_eq!(stack.finished(queued).await.text("/status"), "cancelled");
}
