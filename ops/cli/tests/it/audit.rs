//! The audit trail: recorded decisions, rejections and reads, and the detection of manipulation.

use std::process::Command;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    keys::key,
    operator,
    polling::{POLL_TIMEOUT, until},
    secrets::provider,
    stack::{Answer, Stack},
};

async fn trail(stack: &Stack, query: &str) -> Answer {
    let answer = stack.get(&format!("/admin/audit?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:#?}");
    answer
}

/// Waits until the trail has a matching entry, and returns it.
async fn entry(stack: &Stack, query: &str) -> Value {
    let exists = |answer: &Answer| answer.json["data"][0].is_object();
    let answer = stack.poll(&format!("/admin/audit?{query}"), exists).await;
    answer.json["data"][0].clone()
}

#[tokio::test]
async fn decisions_rejections_and_reads_are_recorded_with_actor_and_address() {
    let stack = Stack::new().await;
    let admin = trail(&stack, "").await;
    let (id, secret) = key(&stack, "acme", &["jobs:read"]).await;
    let made = entry(&stack, "action=key.created&tenant=acme").await;
    assert_eq!((&made["target"], &made["address"]), (&json!(id), &json!("127.0.0.1")), "{made:#}");
    assert!(made["actor"].as_str().unwrap().starts_with("key_"), "{made:#}");
    assert!(made["request_id"].is_string() && made["detail"]["hash"].is_null(), "{made:#}");
    assert!(admin.json["has_more"].is_boolean());

    stack.send(stack.request_as(&secret, Method::GET, "/jobs")).await;
    let first = entry(&stack, &format!("action=key.first_used_from_address&actor={id}")).await;
    assert_eq!((&first["tenant"], &first["address"]), (&json!("acme"), &json!("127.0.0.1")));
    assert_eq!(first["detail"]["request"], "GET /api/v1/jobs");

    stack.post(&format!("/api-keys/{id}/revoke"), &json!({})).await;
    for _ in 0..5 {
        stack.send(stack.request_as(&secret, Method::GET, "/jobs")).await;
    }
    let refused = entry(&stack, &format!("action=key.refused_revoked&actor={id}")).await;
    assert_eq!(refused["tenant"], "acme", "{refused:#}");
    stack.send(stack.request_as("nonsense", Method::GET, "/jobs")).await;
    let anonymous = entry(&stack, "action=key.refused_unknown").await;
    assert_eq!(
        (&anonymous["tenant"], anonymous.get("actor")),
        (&json!("_"), None),
        "{anonymous:#}"
    );

    stack.get(&format!("/api-keys/{id}")).await;
    let read = entry(&stack, "action=admin.read_key").await;
    assert_eq!(read["detail"]["request"], format!("GET /api/v1/api-keys/{id}"), "{read:#}");
    stack.get("/api-keys?tenant=acme").await;
    entry(&stack, "action=admin.read_keys").await;
    let limits = json!({ "limits": { "requests_per_hour": 1 } });
    stack.send(stack.request(Method::PATCH, "/accounts/small").json(&limits)).await;
    entry(&stack, "action=account.changed&tenant=small").await;
    let (id, secret) = key(&stack, "small", &["audit:read"]).await;
    entry(&stack, "action=key.created&tenant=small").await;
    let own = stack.send(stack.request_as(&secret, Method::GET, "/admin/audit")).await;
    let own = own.json["data"].as_array().unwrap();
    assert!(!own.is_empty() && own.iter().all(|entry| entry["tenant"] == "small"), "{own:#?}");
    stack.send(stack.request_as(&secret, Method::GET, "/admin/audit")).await;
    entry(&stack, &format!("action=request.limited&actor={id}")).await;
    let limits = json!({ "limits": { "queue_places": 0 } });
    stack.send(stack.request(Method::PATCH, "/accounts/default").json(&limits)).await;
    let full = stack.post("/probe", &json!({ "input": "a.mp4" })).await;
    assert_eq!(full.status, StatusCode::TOO_MANY_REQUESTS, "{full:#?}");
    let hit = entry(&stack, "action=quota.limited").await;
    assert_eq!(hit["detail"]["request"], "POST /api/v1/probe", "{hit:#}");

    // Pagination returns each entry once, newest first.
    let all = trail(&stack, "limit=200&action=key").await;
    let all: Vec<Value> = all.json["data"].as_array().unwrap().clone();
    let (mut paged, mut path) = (Vec::new(), "limit=2&action=key".to_owned());
    loop {
        let page = trail(&stack, &path).await;
        paged.extend(page.json["data"].as_array().unwrap().clone());
        let Some(cursor) = page.json["next_cursor"].as_str() else { break };
        path = format!("limit=2&action=key&cursor={cursor}");
    }
    assert_eq!(paged, all);
    let times: Vec<&str> = all.iter().map(|entry| entry["at"].as_str().unwrap()).collect();
    assert!(times.windows(2).all(|pair| pair[0] >= pair[1]), "{times:?}");
}

/// Runs a statement in the stack's database.
fn sql(stack: &Stack, statement: &str) {
    let settings = operator::settings(stack);
    let url = settings.iter().find(|(name, _)| name == "FFAPI_POSTGRES__URL").unwrap().1.clone();
    let arguments = [url.as_str(), "-v", "ON_ERROR_STOP=1", "-c", statement];
    let done = Command::new("psql").args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// The sequence of the newest decision in the audit trail.
fn newest_decision(stack: &Stack) -> String {
    let settings = operator::settings(stack);
    let url = &settings.iter().find(|(name, _)| name == "FFAPI_POSTGRES__URL").unwrap().1;
    let query = "SELECT max(sequence) FROM audit_decision";
    let done = Command::new("psql").args([url.as_str(), "-Atc", query]).output().unwrap();
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

async fn faults(stack: &Stack) -> Vec<String> {
    let verdict = stack.post("/admin/audit/verify", &json!({})).await;
    assert_eq!(verdict.status, StatusCode::OK, "{verdict:#?}");
    let faults = verdict.json["faults"].as_array().unwrap();
    assert_eq!(verdict.json["intact"], faults.is_empty());
    faults.iter().map(|fault| fault["row"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn changed_deleted_added_and_moved_rows_are_detected() {
    let stack = Stack::new().await;
    for _ in 0..4 {
        key(&stack, "acme", &["jobs:read"]).await;
    }
    stack.send(stack.request_as("nonsense", Method::GET, "/jobs")).await;
    entry(&stack, "action=key.refused_unknown").await;
    entry(&stack, "action=key.created&tenant=acme").await;
    assert_eq!(faults(&stack).await, Vec::<String>::new());
    let (success, printed) = operator::run(&stack, &["audit", "verify"]);
    assert!(success, "{printed}");
    let newest = newest_decision(&stack);
    let changed = format!("UPDATE audit_decision SET actor = 'nobody' WHERE sequence = {newest}");
    let deleted = format!("DELETE FROM audit_decision WHERE sequence = {newest}");
    let decision = format!("audit_decision {newest}-0");
    for (harm, repair, row) in [
        (
            "UPDATE archive SET payload = payload || '\\x00' WHERE sequence = 3",
            "UPDATE archive SET payload = substring(payload FOR length(payload) - 1) WHERE sequence = 3",
            "archive 3",
        ),
        (
            "CREATE TABLE kept AS SELECT * FROM archive WHERE sequence = 4;
             DELETE FROM archive WHERE sequence = 4",
            "INSERT INTO archive SELECT * FROM kept; DROP TABLE kept",
            "archive 4",
        ),
        (
            "INSERT INTO archive SELECT 99, subject, payload, hash FROM archive WHERE sequence = 2",
            "DELETE FROM archive WHERE sequence = 99",
            "archive 99",
        ),
        (
            "UPDATE archive SET sequence = 1000000 WHERE sequence = 2;
             UPDATE archive SET sequence = 2 WHERE sequence = 3;
             UPDATE archive SET sequence = 3 WHERE sequence = 1000000",
            "UPDATE archive SET sequence = 1000000 WHERE sequence = 2;
             UPDATE archive SET sequence = 2 WHERE sequence = 3;
             UPDATE archive SET sequence = 3 WHERE sequence = 1000000",
            "archive 2",
        ),
        (&changed, "", &decision),
        (&deleted, "", &decision),
        ("UPDATE audit_note SET address = '192.0.2.1' WHERE sequence = 1", "", "audit_note 1"),
    ] {
        sql(&stack, harm);
        let found = faults(&stack).await;
        assert!(found.iter().any(|fault| fault == row), "{harm}: {found:?}");
        let (success, printed) = operator::run(&stack, &["audit", "verify"]);
        assert!(!success && printed.contains(row), "{printed}");
        if !repair.is_empty() {
            sql(&stack, repair);
        }
    }
}

#[tokio::test]
async fn a_database_with_a_recomputed_hash_chain_is_detected() {
    let stack = Stack::new().await;
    for _ in 0..4 {
        key(&stack, "acme", &["jobs:read"]).await;
    }
    entry(&stack, "action=key.created&tenant=acme").await;
    let verify = async || {
        let verdict = stack.post("/admin/audit/verify", &json!({})).await;
        assert_eq!(verdict.json["intact"], true, "{verdict:#?}");
        verdict.json["anchors"].as_u64().unwrap()
    };
    until(verify, |signed| *signed > 0).await;
    // The first message is falsified, and every hash of the chain recomputed.
    sql(
        &stack,
        "CREATE FUNCTION relink() RETURNS void AS $$
         DECLARE row record; before bytea := ''; BEGIN
         FOR row IN SELECT * FROM archive ORDER BY sequence LOOP
             before := sha256(before || int8send(row.sequence) || int8send(length(row.subject))
                 || convert_to(row.subject, 'UTF8') || row.payload);
             UPDATE archive SET hash = before WHERE sequence = row.sequence;
         END LOOP; END $$ LANGUAGE plpgsql;
         SELECT relink()",
    );
    assert_eq!(faults(&stack).await, Vec::<String>::new(), "the recomputed chain is consistent");
    sql(&stack, "UPDATE archive SET payload = '\\x00' WHERE sequence = 1; SELECT relink()");
    let found = faults(&stack).await;
    assert!(found.contains(&"archive 1".to_owned()), "the log has another one: {found:?}");
    assert!(found.iter().any(|fault| fault != "archive 1"), "an anchor does not match: {found:?}");
    // Notes of reads and rejections have no other copy, so only an anchor shows that some are
    // missing.
    let url = operator::settings(&stack).into_iter().find(|(name, _)| name == "FFAPI_NATS__URL");
    let nats =
        ffapi_nats::Nats::connect(&ffapi_nats::NatsConfig { url: url.unwrap().1 }).await.unwrap();
    let anchors = ffapi_nats::SignedHeads::new(nats);
    let signed = async || {
        let all = anchors.all().await.unwrap();
        all.iter().any(|anchor| String::from_utf8_lossy(anchor).contains("audit_note"))
    };
    until(signed, |signed| *signed).await;
    sql(&stack, "DELETE FROM audit_note");
    let found = faults(&stack).await;
    assert!(found.iter().any(|fault| fault.starts_with("audit_note")), "{found:?}");
}

#[tokio::test]
async fn the_trail_is_sent_to_a_siem_and_resumes_where_it_stopped() {
    let stack = Stack::new().await;
    let (id, _) = key(&stack, "acme", &["jobs:read"]).await;
    let state = stack.data.path().join("shipped");
    let follow = |more: &[&str]| {
        let mut command = crate::stack::ffapi();
        command.envs(operator::settings(&stack)).args(["audit", "follow", "--state"]).arg(&state);
        command.args(more).stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    let lines_until = |process: &mut std::process::Child, wanted: &dyn Fn(&Value) -> bool| {
        use std::io::BufRead;
        let lines = std::io::BufReader::new(process.stdout.as_mut().unwrap()).lines();
        let mut seen = Vec::new();
        for line in lines {
            let entry: Value = serde_json::from_str(&line.unwrap()).unwrap();
            seen.push(entry.clone());
            if wanted(&entry) {
                break;
            }
        }
        seen
    };
    let mut first = follow(&[]);
    let seen = lines_until(&mut first, &|entry| entry["target"] == id.as_str());
    // Notes of requests are another sequence, in between.
    let first_decision = seen.iter().find(|entry| entry["id"] == "decision-1-0");
    assert_eq!(first_decision.unwrap()["action"], "account.changed", "{seen:#?}");
    assert!(!seen.iter().any(|entry| entry.to_string().contains("\"hash\"")));
    // It has sent this entry, and stores its position a moment later.
    let noted = async || std::fs::read_to_string(&state);
    until(noted, |state| state.as_ref().is_ok_and(|state| !state.contains("\"decisions\":0")))
        .await
        .unwrap();
    first.kill().unwrap();
    first.wait().unwrap();

    let collector = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    collector.set_read_timeout(Some(POLL_TIMEOUT)).unwrap();
    let at = format!("udp://{}", collector.local_addr().unwrap());
    let mut second = follow(&["--syslog", &at]);
    stack.post(&format!("/api-keys/{id}/revoke"), &json!({})).await;
    let mut datagram = vec![0; 65_536];
    loop {
        let length = collector.recv(&mut datagram).unwrap();
        let line = String::from_utf8_lossy(&datagram[..length]).into_owned();
        assert!(line.starts_with("<109>1 2"), "{line}");
        assert!(!line.contains("account.changed"), "it was sent before: {line}");
        if line.contains("key.revoked") {
            break;
        }
    }
    second.kill().unwrap();
    second.wait().unwrap();

    // No entry is lost while a collector is down.
    let (taken, entries) = std::sync::mpsc::channel();
    let tries = std::sync::atomic::AtomicUsize::new(0);
    let collector = provider(move |asked| {
        if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
            return (503, json!({}));
        }
        assert_eq!((asked.path.as_str(), asked.headers["x-tenant"].as_str()), ("/v1/logs", "ops"));
        taken.send(serde_json::from_str::<Value>(&asked.body).unwrap()).unwrap();
        (200, json!({}))
    });
    let (other, _) = key(&stack, "acme", &["jobs:read"]).await;
    let mut third = crate::stack::ffapi();
    third.envs(operator::settings(&stack)).args(["audit", "follow", "--otlp", &collector]);
    third.arg("--state").arg(&state).env("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=ops");
    let mut third = third.spawn().unwrap();
    loop {
        let export = entries.recv_timeout(POLL_TIMEOUT).unwrap();
        let resource = &export["resourceLogs"][0];
        assert_eq!(resource["resource"]["attributes"][0]["value"]["stringValue"], "ffapi");
        let record = &resource["scopeLogs"][0]["logRecords"][0];
        assert!(record["timeUnixNano"].as_str().unwrap().ends_with("000000"), "{record:#}");
        let body = record["body"]["stringValue"].as_str().unwrap();
        let entry: Value = serde_json::from_str(body).unwrap();
        let of = |name: &str| {
            let all = record["attributes"].as_array().unwrap();
            let found = all.iter().find(|attribute| attribute["key"] == name);
            found.map(|found| found["value"]["stringValue"].clone()).unwrap_or_default()
        };
        assert_eq!(
            (of("event.name"), of("ffapi.actor")),
            (entry["action"].clone(), entry["actor"].clone())
        );
        if entry["target"] == other.as_str() {
            break;
        }
    }
    third.kill().unwrap();
    third.wait().unwrap();
}
