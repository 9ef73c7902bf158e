//! The shipped NATS configuration: every role can do its work with its own user, and nothing else.

use std::{collections::BTreeMap, path::Path, process::Stdio, time::Duration};

use ffapi_embedded::{NatsServer, Postgres};
use ffapi_nats::{
    AppendRequest, Codec, Decision, Idempotency, Log, Nats, NatsConfig, PubSub, Vault,
};
use uuid::Uuid;

use crate::{
    polling::{POLL_TIMEOUT, until},
    stack::{bunny, ffapi, free_port, http, quick},
};

const ROLES: [&str; 4] = ["projector", "conductor", "worker", "gateway"];

/// The environment variables with the password of each user.
pub(crate) fn users() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../nats/users.conf");
    let shipped = std::fs::read_to_string(path).unwrap();
    let names = ["OPERATOR", "GATEWAY", "PROJECTOR", "CONDUCTOR", "WORKER", "TENANT_ACME"];
    let defined = names.map(|name| format!("FFAPI_NATS_{name}: \"pw-{}\"\n", name.to_lowercase()));
    defined.concat() + &shipped
}

fn url(server: &NatsServer, user: &str) -> String {
    let password = format!("pw-{}", user.replace('-', "_"));
    server.url().replace("nats://", &format!("nats://{user}:{password}@"))
}

async fn connect(server: &NatsServer, user: &str) -> Nats {
    Nats::connect(&NatsConfig { url: url(server, user) }).await.unwrap()
}

/// A connection of NATS' own client.
async fn raw(server: &NatsServer, user: &str) -> async_nats::Client {
    let options =
        async_nats::ConnectOptions::with_user_and_password(user.to_owned(), format!("pw-{user}"));
    options.custom_inbox_prefix(format!("_INBOX.{user}")).connect(server.url()).await.unwrap()
}

struct Roles(Vec<std::process::Child>);

impl Drop for Roles {
    fn drop(&mut self) {
        for process in &mut self.0 {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[tokio::test]
async fn each_role_can_do_its_work_and_nothing_else() {
    let folder = ffapi_embedded::temporary_folder().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let server = NatsServer::start_with(&at.join("nats"), &users()).unwrap();
    let postgres = Postgres::start(&at).unwrap();
    let secret = |digit: &str| digit.repeat(64);
    let listen = format!("127.0.0.1:{}", free_port());
    let settings = BTreeMap::from([
        ("FFAPI_POSTGRES__URL", postgres.url()),
        ("FFAPI_SECRETS__MASTER_KEY", secret("1")),
        ("FFAPI_SECRETS__PEPPER", secret("2")),
        ("FFAPI_SECRETS__SIGNING_KEY", secret("3")),
        ("FFAPI_STORAGE__ROOT", at.join("storage").display().to_string()),
        ("FFAPI_GATEWAY__LISTEN", listen.clone()),
        ("FFAPI_WORKER__SLOTS", "1".to_owned()),
    ]);
    let as_user = |user: &str| {
        let mut command = ffapi();
        command.envs(&settings).env("FFAPI_NATS__URL", url(&server, user));
        command
    };
    let operator = |arguments: &[&str]| {
        let done = as_user("operator").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    operator(&["topology", "apply"]);
    operator(&["migrate"]);
    let key = operator(&["keys", "create", "--tenant", "acme", "--tier", "premium"]);
    let start = |role: &&str| as_user(role).arg(role).stderr(Stdio::null()).spawn().unwrap();
    let _roles = Roles(ROLES.iter().map(start).collect());

    // A complete job, with every role as its own user.
    let api = format!("http://{listen}/api/v1");
    let success = |answer: &Result<reqwest::Response, _>| {
        answer.as_ref().is_ok_and(|answer| answer.status().is_success())
    };
    until(async || http().get(format!("{api}/health/ready")).send().await, success).await.unwrap();
    let mut listening =
        PubSub::new(connect(&server, "tenant-acme").await).subscribe("live.acme.>").await.unwrap();
    let send = async |path: &str, kind: &str, body: reqwest::Body| {
        let request = http().post(format!("{api}{path}")).header("x-api-key", &key);
        let request = request.header("content-type", kind).header("prefer", "wait=60");
        request.body(body).send().await.unwrap().json::<serde_json::Value>().await.unwrap()
    };
    let capable = async || {
        let request = http().get(format!("{api}/capabilities")).header("x-api-key", &key);
        request.send().await
    };
    until(capable, success).await.unwrap();
    // The key was created with default scopes, which are limited to its tenant.
    let admin = http().get(format!("{api}/admin/workers")).header("x-api-key", &key).send().await;
    assert_eq!(admin.unwrap().status(), reqwest::StatusCode::FORBIDDEN);
    let video = std::fs::read(bunny()).unwrap();
    let upload = send("/uploads", "application/octet-stream", video.into()).await;
    let body = serde_json::json!({
        "input": upload["id"], "output": "a.mp4", "operations": quick(), "kind": "convert",
    });
    let plan = send("/validate", "application/json", body.to_string().into()).await;
    assert!(plan["plan"].is_object(), "{plan:#}");
    let mut job = body.clone();
    job.as_object_mut().unwrap().remove("kind");
    let made = send("/convert", "application/json", job.clone().to_string().into()).await;
    let violations = || {
        let printed = std::fs::read_to_string(at.join("nats/nats.log")).unwrap();
        let refused = printed.lines().filter(|line| line.contains("Violation"));
        refused.map(str::to_owned).collect::<Vec<String>>()
    };
    assert_eq!(made["job"]["status"], "completed", "{made:#} {:#?}", violations());
    assert_eq!(violations(), Vec::<String>::new(), "a role lacks a permission");
    let message = tokio::time::timeout(POLL_TIMEOUT, listening.next()).await.unwrap().unwrap();
    assert!(message.subject.starts_with("live.acme.job."), "{}", message.subject);

    // The queue of tasks is lost: the conductor creates it again, and workers find it.
    let operator = async_nats::jetstream::new(raw(&server, "operator").await);
    operator.delete_stream("WORK").await.unwrap();
    job["output"] = "b.mp4".into();
    let made = send("/convert", "application/json", job.to_string().into()).await;
    assert_eq!(made["job"]["status"], "completed", "{made:#}");
    assert_eq!(violations(), Vec::<String>::new(), "a role lacks a permission");

    // Permissions that a role does not have.
    for (user, subject) in [
        ("worker", "ev.key.acme.key_1"),
        ("worker", "ev.account.acme.acme"),
        ("worker", "ev.dispatch._.cpu"),
        ("conductor", "ev.key.acme.key_1"),
        ("projector", "ev.job.acme.job_1"),
        ("gateway", "ev.dispatch._.cpu"),
    ] {
        assert!(!may_append(&server, user, subject).await, "{user} wrote {subject}");
    }
    assert!(may_append(&server, "gateway", "ev.key.acme.key_1").await);
    // An erasure deletes a tenant's idempotency keys.
    Idempotency::new(connect(&server, "gateway").await).erase("acme").await.unwrap();
    // A tenant's programs receive their own events only.
    let live = PubSub::new(connect(&server, "tenant-acme").await);
    let mut other = live.subscribe("live.>").await.unwrap();
    let mut own = live.subscribe("live.acme.job.x.progress").await.unwrap();
    let publisher = PubSub::new(connect(&server, "operator").await);
    publisher.publish("live.other.job.x.progress", "secret").await;
    publisher.publish("live.acme.job.x.progress", "own").await;
    assert_eq!(own.next().await.unwrap().payload.as_ref(), b"own");
    let overheard = tokio::time::timeout(Duration::from_millis(300), other.next()).await;
    assert!(!matches!(overheard, Ok(Some(_))), "{overheard:?}");
}

#[tokio::test]
async fn a_tenant_gets_an_nkey_that_receives_its_own_events() {
    let folder = ffapi_embedded::temporary_folder().unwrap();
    let out = folder.path().join("acme");
    let mut command = ffapi();
    command.args(["nats", "user", "--tenant", "acme", "--server", "nats://host:4222", "--out"]);
    let made = command.arg(&out).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let entry = String::from_utf8(made.stdout).unwrap();
    let seed = std::fs::read_to_string(out.join("acme.nk")).unwrap().trim().to_owned();
    assert!(!entry.contains(&seed), "the server's part contains no secret");
    let context = std::fs::read_to_string(out.join("acme.json")).unwrap();
    let context: serde_json::Value = serde_json::from_str(&context).unwrap();
    assert_eq!(context["url"], "nats://host:4222");
    assert!(Path::new(context["nkey"].as_str().unwrap()).is_file(), "{context:#}");
    // An existing key is not replaced, because programs use it.
    assert!(!command.output().unwrap().status.success());

    let users = users().replacen("users = [", &format!("users = [\n{entry}"), 1);
    let server = NatsServer::start_with(&folder.path().join("nats"), &users).unwrap();
    let options = async_nats::ConnectOptions::with_nkey(seed);
    let prefix = context["inbox_prefix"].as_str().unwrap();
    let client = options.custom_inbox_prefix(prefix).connect(server.url()).await.unwrap();
    let mut own = client.subscribe("live.acme.>").await.unwrap();
    let mut all = client.subscribe("live.>").await.unwrap();
    client.flush().await.unwrap();
    let publisher = PubSub::new(connect(&server, "operator").await);
    publisher.publish("live.other.job.x.completed", "secret").await;
    publisher.publish("live.acme.job.x.completed", "own").await;
    let message = futures::StreamExt::next(&mut own).await.unwrap();
    assert_eq!(message.payload.as_ref(), b"own");
    let overheard =
        tokio::time::timeout(Duration::from_millis(300), futures::StreamExt::next(&mut all));
    assert!(!matches!(overheard.await, Ok(Some(_))));
}

/// True if a user's append to a subject is stored.
async fn may_append(server: &NatsServer, user: &str, subject: &str) -> bool {
    let nats = connect(server, user).await;
    let codec = Codec::new(Vault::open(&nats, &[0x11; 32]).await.unwrap());
    let id = Uuid::now_v7();
    let actor = ffapi_nats::Actor::Process("test".to_owned());
    let decision = Decision::new(id, actor, "acme", 1, vec!["forged"]);
    let payload = codec.encode(&decision).await.unwrap();
    let log = Log::open(nats).await.unwrap();
    let draft = AppendRequest { subject: subject.to_owned(), expected: 0, command_id: id, payload };
    let stored = tokio::time::timeout(Duration::from_secs(1), log.append(draft)).await;
    matches!(stored, Ok(Ok(_)))
}
