//! What fails for a passing reason is tried again as often as it may be; then it is a dead letter, kept
//! with every attempt, and sent on its way by hand.

use reqwest::StatusCode;
use serde_json::json;

use crate::{
    operator,
    stack::{Stack, bunny},
};

#[tokio::test]
async fn dead_letters_are_kept_with_their_attempts_and_sent_on_their_way() {
    let stack = Stack::with(&[("FFAPI_EGRESS__ALLOW", "127.0.0.1/32")]).await;
    // Nobody listens there: that may pass, and is tried as often as was asked for.
    let nobody = "http://127.0.0.1:9/film.mp4";
    let body = json!({ "max_retries": 1, "jobs": [
        { "kind": "probe", "input": nobody }, { "kind": "probe", "input": "none.mp4" } ] });
    let batch = stack.post("/batch", &body).await;
    let jobs: Vec<String> = serde_json::from_value(batch.json["jobs"].clone()).unwrap();
    let passing = stack.over(&jobs[0]).await;
    assert_eq!((passing.text("/status"), &passing.json["attempt"]), ("failed", &json!(2)));
    assert_eq!(passing.json["dead_lettered"], true);
    let lasting = stack.over(&jobs[1]).await;
    assert_eq!(
        (&lasting.json["attempt"], &lasting.json["dead_lettered"]),
        (&json!(1), &json!(false))
    );

    let version = passing.header("x-log-position").to_owned();
    let dead = stack.get(&format!("/admin/dead-letters?min_position={version}")).await;
    assert_eq!(dead.status, StatusCode::OK, "{dead:#?}");
    assert_eq!(dead.json["data"].as_array().unwrap().len(), 1, "{dead:#?}");
    let letter = &dead.json["data"][0];
    assert_eq!((&letter["tenant"], &letter["job"]["id"]), (&json!("default"), &json!(jobs[0])));
    let attempts = letter["job"]["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    assert!(attempts.iter().all(|one| one["error"]["code"] == "input_unreachable"), "{letter:#}");
    let none = stack.get("/admin/dead-letters?code=media_crashed").await;
    assert_eq!(none.json["data"], json!([]));

    // By its error; then there is nothing left to send on its way.
    let sent =
        stack.post("/admin/dead-letters/redrive", &json!({ "code": "input_unreachable" })).await;
    assert_eq!((sent.status, &sent.json["jobs"]), (StatusCode::ACCEPTED, &json!([jobs[0]])));
    let again = stack.until(&jobs[0], |job| job.json["attempt"] == 4).await;
    assert_eq!(again.json["attempts"].as_array().unwrap().len(), 4);
    stack.over(&jobs[0]).await;
    // By its name.
    let sent =
        stack.post("/admin/dead-letters/redrive", &json!({ "jobs": [jobs[0], jobs[1]] })).await;
    assert_eq!(sent.json["jobs"], json!([jobs[0]]), "only the dead letter: {sent:#?}");
    for bad in [json!({}), json!({ "code": "bad_luck" }), json!({ "jobs": ["x"] })] {
        let refused = stack.post("/admin/dead-letters/redrive", &bad).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
    }
}

#[tokio::test]
async fn what_happened_is_replayed_on_another_fleet() {
    let stack = Stack::with(&[("FFAPI_WORKER__SLOTS", "1")]).await;
    stack.place("film.mp4", &std::fs::read(bunny()).unwrap());
    let jobs = json!({ "jobs": vec![json!({ "kind": "probe", "input": "film.mp4" }); 6] });
    let batch = stack.post("/batch", &jobs).await;
    for job in batch.json["jobs"].as_array().unwrap() {
        stack.over(job.as_str().unwrap()).await;
    }
    let (well, said) = operator::run(&stack, &["simulate", "--slots", "6", "--cap", "default=6"]);
    assert!(well && said.contains("default") && said.contains("all done after"), "{said}");
    // Six slots, but five of a batch at once: five wait for nothing.
    let line = said.lines().find(|line| line.starts_with("default")).unwrap();
    let would = line.rsplit("  ").next().unwrap().trim();
    assert!(would.starts_with("0.0 / "), "{said}");
    let (well, said) = operator::run(&stack, &["simulate", "--slots", "nvenc=2"]);
    assert!(well && said.contains("6 jobs would never run"), "{said}");
    let (well, said) = operator::run(&stack, &["simulate", "--from", "2099-01-01T00:00:00Z"]);
    assert!(!well && said.contains("no job came and ended"), "{said}");
    let (well, said) = operator::run(&stack, &["simulate", "--weight", "acme"]);
    assert!(!well && said.contains("tenant=number"), "{said}");
}
