//! Events of one tenant that cannot be decoded or stored do not stop the read models, the queue, or
//! the tenant's own erasure.

use ffapi_commands::{Caller, Commands};
use ffapi_domain::{
    Personal,
    job::{Job, JobCommand, JobSpec},
    media::{Convert, MediaRequest, Operation, Overwrite, SubtitleMode, Subtitles},
};
use ffapi_nats::{AppendRequest, Codec, Log, Nats, NatsConfig, Vault};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    crash::equals_its_rebuild,
    keys::key,
    operator,
    polling::until,
    stack::{Stack, quick},
};

/// Part of data that no table, stream or log line may keep.
const SECRET: &str = "Zaphod-Beeblebrox";

/// Write access to a stack's log, to append events as an older version could have.
async fn log_of(stack: &Stack) -> Commands {
    let settings = operator::settings(stack);
    let of = |name: &str| settings.iter().find(|(known, _)| known == name).unwrap().1.clone();
    let nats = Nats::connect(&NatsConfig { url: of("FFAPI_NATS__URL") }).await.unwrap();
    let key: [u8; 32] = hex::decode(of("FFAPI_SECRETS__MASTER_KEY")).unwrap().try_into().unwrap();
    let codec = Codec::new(Vault::open(&nats, &key).await.unwrap());
    Commands::new(Log::open(nats).await.unwrap(), codec)
}

/// A conversion as accepted by an older version.
fn with_a_nul() -> JobSpec {
    let subtitles =
        Subtitles { input: None, mode: SubtitleMode::Sidecar, language: Some("a\0b".to_owned()) };
    JobSpec {
        metadata: Personal::Clear([("of\0".to_owned(), format!("{SECRET}\0"))].into()),
        ..JobSpec::of(MediaRequest::Convert(Convert {
            input: Personal::Clear("in.mp4".parse().unwrap()),
            output: Personal::Clear(format!("{SECRET}.mp4").parse().unwrap()),
            operations: vec![Operation::Subtitles(subtitles)],
            overwrite: Overwrite::Fail,
        }))
    }
}

#[tokio::test]
async fn unreadable_events_of_one_tenant_and_its_erasure_affect_no_other_tenant() {
    let stack = Stack::with(&[("FFAPI_LOG__FILTER", "info")]).await;
    let (_, secret) = key(&stack, "acme", &["jobs:read", "jobs:write"]).await;
    let body = json!({
        "input": "in.mp4", "output": "out.mp4",
        "operations": [{ "type": "subtitles", "mode": "sidecar", "language": "a\u{0}b" }],
    });
    let refused = stack.send(stack.request_as(&secret, Method::POST, "/convert").json(&body)).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
    assert_eq!(refused.text("/errors/0/pointer"), "#/operations/0/language");

    // Events accepted by an older version stay in the log.
    let commands = log_of(&stack).await;
    let id = ffapi_domain::JobId::from_uuid(Uuid::now_v7()).to_string();
    let caller = Caller::process("an earlier version");
    let command = JobCommand::Submit { spec: Box::new(with_a_nul()) };
    commands.handle::<Job>("acme", &id, &caller, command).await.unwrap();
    // So do undecodable events: alone, after readable ones, and of a key and an account.
    let waiting = json!({ "input": "in.mp4", "not_before": "2099-01-01T00:00:00Z" });
    let waits = stack.send(stack.request_as(&secret, Method::POST, "/probe").json(&waiting)).await;
    let waits = waits.text("/job/id").to_owned();
    let (doubtful, opened) = key(&stack, "acme", &["jobs:read"]).await;
    let mut garbage = b"\x81\xa4what\xb1".to_vec();
    garbage.extend(SECRET.as_bytes());
    for subject in [
        format!("ev.job.acme.{waits}"),
        format!("ev.job.acme.job_{}", Uuid::now_v7().simple()),
        "ev.job.acme.none".to_owned(),
        format!("ev.key.acme.key_{}", Uuid::now_v7().simple()),
        format!("ev.key.acme.{doubtful}"),
        format!("ev.batch.acme.batch_{}", Uuid::now_v7().simple()),
        "ev.preset.acme.web".to_owned(),
        "ev.kept.acme.acme".to_owned(),
    ] {
        let expected = commands.log().last_matching(&subject).await.unwrap();
        let (command_id, payload) = (Uuid::now_v7(), garbage.clone().into());
        let draft = AppendRequest { subject, expected, command_id, payload };
        commands.log().append(draft).await.unwrap();
    }
    // The unreadable event may have been the key's revocation.
    let ask = async || {
        let asked = stack.request_as(&opened, Method::GET, "/jobs");
        stack.send(asked).await.status
    };
    until(ask, |status| *status == StatusCode::UNAUTHORIZED).await;
    // It is shown as far as it can be stored, and other tenants are not affected.
    let show =
        async || stack.send(stack.request_as(&secret, Method::GET, &format!("/jobs/{id}"))).await;
    until(show, |shown| shown.status == StatusCode::OK).await;
    let upload = stack.upload_bunny().await;
    let before = stack.convert(&upload, "before.mp4", quick()).await;
    assert_eq!(stack.finished(&before).await.text("/status"), "completed");

    let erased = stack.send(stack.request(Method::DELETE, "/accounts/acme")).await;
    assert_eq!(erased.status, StatusCode::OK, "{erased:#?}");
    let position = erased.header("x-log-position");
    let seen = stack.get(&format!("/jobs?min_position={position}")).await;
    assert_eq!(seen.json["data"][0]["id"], before.as_str(), "{seen:#?}");
    let after = stack.convert(&upload, "after.mp4", quick()).await;
    assert_eq!(stack.finished(&after).await.text("/status"), "completed");

    let health = async || stack.get("/health/detailed").await;
    let health = until(health, |health| health.text("/status") == "degraded").await;
    assert_eq!(health.status, StatusCode::OK, "{health:#?}");
    let verdict = stack.post("/admin/audit/verify", &json!({})).await;
    assert_eq!((verdict.status, &verdict.json["intact"]), (StatusCode::OK, &json!(false)));
    let faults = verdict.json["faults"].as_array().unwrap();
    let unreadable = |fault: &Value| fault["row"].as_str().unwrap().starts_with("log ");
    assert!(faults.len() == 8 && faults.iter().all(unreadable), "{faults:#?}");
    equals_its_rebuild(&stack);
    let printed = std::fs::read_to_string(stack.data.path().join("up.log")).unwrap();
    assert!(printed.contains("message parked") && !printed.contains(SECRET), "{printed}");
}
