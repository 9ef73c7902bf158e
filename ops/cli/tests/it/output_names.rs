use reqwest::StatusCode;
use serde_json::json;

use crate::{http_semantics::is_problem, stack::Stack};

#[tokio::test]
async fn two_active_jobs_never_share_an_output_name() {
    let stack = Stack::new().await;
    let body = json!({
        "input": "a.mp4", "output": "b.mp4", "not_before": "2100-01-01T00:00:00Z",
    });
    let first = stack.post("/convert", &body).await;
    let second = stack.post("/convert", &body).await;
    is_problem(&second, 409);
    assert_eq!(second.text("/errors/0/pointer"), "#/output");
    assert!(second.text("/detail").contains(first.text("/job/id")), "{second:#?}");
    stack.post(&format!("/jobs/{}/cancel", first.text("/job/id")), &json!({})).await;
    let third = stack.post("/convert", &body).await;
    assert_eq!(third.status, StatusCode::CREATED);
    let again = format!("/jobs/{}/retry", first.text("/job/id"));
    is_problem(&stack.post(&again, &json!({})).await, 409);

    // The same holds for a job that is retried with its batch.
    stack.post(&format!("/jobs/{}/cancel", third.text("/job/id")), &json!({})).await;
    let mut member = body.clone();
    member["kind"] = json!("convert");
    let batch = stack.post("/batch", &json!({ "jobs": [member] })).await;
    let batch = format!("/batch/{}", batch.text("/id"));
    stack.post(&format!("{batch}/cancel"), &json!({})).await;
    let fourth = stack.post("/convert", &body).await;
    assert_eq!(fourth.status, StatusCode::CREATED, "{fourth:#?}");
    let retried = stack.post(&format!("{batch}/retry"), &json!({})).await;
    is_problem(&retried, 409);
    assert!(retried.text("/detail").contains(fourth.text("/job/id")), "{retried:#?}");
}

#[tokio::test]
async fn of_jobs_submitted_at_the_same_instant_one_gets_the_output() {
    let stack = Stack::new().await;
    for round in 0..3 {
        let body = json!({
            "input": "a.mp4", "output": format!("{round}.mp4"), "not_before": "2100-01-01T00:00:00Z",
        });
        let submitted = (0..16).map(|_| stack.post("/convert", &body));
        let submitted = futures::future::join_all(submitted).await;
        let created = submitted.iter().filter(|job| job.status == StatusCode::CREATED).count();
        let conflicts = submitted.iter().filter(|job| job.status == StatusCode::CONFLICT).count();
        assert_eq!((created, conflicts), (1, 15), "{submitted:#?}");
    }
}

#[tokio::test]
async fn of_a_retry_and_a_new_job_at_the_same_instant_one_gets_the_output() {
    let stack = Stack::new().await;
    for round in 0..5 {
        let body = json!({
            "input": "a.mp4", "output": format!("{round}.mp4"), "not_before": "2100-01-01T00:00:00Z",
        });
        let first = stack.post("/convert", &body).await.text("/job/id").to_owned();
        stack.post(&format!("/jobs/{first}/cancel"), &json!({})).await;
        let (path, none) = (format!("/jobs/{first}/retry"), json!({}));
        let retry = stack.post(&path, &none);
        let submitted = (0..8).map(|_| stack.post("/convert", &body));
        let (retry, submitted) = futures::join!(retry, futures::future::join_all(submitted));
        let created = submitted.iter().filter(|job| job.status == StatusCode::CREATED).count();
        let retried = usize::from(retry.status == StatusCode::ACCEPTED);
        assert_eq!(created + retried, 1, "{retry:#?} {submitted:#?}");
    }
}

#[tokio::test]
async fn folders_within_each_other_and_odd_filters_are_bounded() {
    let stack = Stack::new().await;
    let deep = |folders| json!({ "input": "a.mp4", "output": "a/".repeat(folders) + "b.mp4" });
    let refused = stack.post("/convert", &deep(16)).await;
    assert_eq!(refused.text("/errors/0/pointer"), "#/output", "{refused:#?}");
    assert_eq!(stack.post("/convert", &deep(15)).await.status, StatusCode::CREATED);
    let listed = stack.get("/jobs?metadata.a=%+0").await;
    assert_eq!(listed.status, StatusCode::OK, "{listed:#?}");
}
