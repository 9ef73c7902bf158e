//! Uploads as browsers and other clients send them.

use reqwest::{
    Method, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::{
    keys,
    stack::{Answer, Stack, bunny, http, quick},
};

#[tokio::test]
async fn a_form_with_a_file_is_uploaded_like_the_file_itself() {
    let stack = Stack::new().await;
    let video = std::fs::read(bunny()).unwrap();
    let plain = stack
        .request(Method::POST, "/uploads")
        .header("content-disposition", "attachment; filename*=UTF-8''F%C3%A9e.mp4")
        .body(video.clone());
    let plain = stack.send(plain).await;
    let part = || Part::bytes(video.clone()).file_name("Fée.mp4");
    let form = Form::new().part("video", part());
    let form = stack.send(stack.request(Method::POST, "/uploads").multipart(form)).await;
    for answer in [&plain, &form] {
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:#?}");
        assert_eq!(answer.text("/file_name"), "Fée.mp4");
        assert_eq!(answer.text("/sha256"), plain.text("/sha256"));
    }
    let two = Form::new().part("a", part()).part("b", part());
    let field = Form::new().text("title", "a").part("video", part());
    for form in [two, field] {
        let refused = stack.send(stack.request(Method::POST, "/uploads").multipart(form)).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{refused:#?}");
    }
    stack.list_has("/uploads", 2).await;
    let files = stack.stored().into_iter().filter(|path| path.contains("/.uploads/"));
    assert_eq!(files.count(), 2, "nothing is left of rejected ones");
}

/// What a page does that has nothing but the URL.
async fn send_form(stack: &Stack, url: &str, bytes: Vec<u8>) -> Answer {
    let form = Form::new().part("file", Part::bytes(bytes).file_name("clip.mp4"));
    let request = http().post(format!("{}{url}", stack.url)).multipart(form);
    stack.send(request.header("origin", "https://page.example.com")).await
}

#[tokio::test]
async fn a_page_uploads_one_file_by_a_url_which_starts_its_job() {
    let stack = Stack::new().await;
    let (_, secret) = keys::key(&stack, "default", &["jobs:write"]).await;
    let create = async |body: Value| {
        stack.send(stack.request_as(&secret, Method::POST, "/tokens").json(&body)).await
    };
    let video = std::fs::read(bunny()).unwrap();
    let then = json!({ "kind": "convert", "output": "clips/a.mp4", "operations": quick() });
    let made =
        create(json!({ "ttl": 600, "upload": { "max_bytes": video.len(), "then": then } })).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:#?}");
    let url = made.text("/url").to_owned();

    let preflight = http()
        .request(Method::OPTIONS, format!("{}{url}", stack.url))
        .header("origin", "https://page.example.com")
        .header("access-control-request-method", "POST");
    assert_eq!(stack.send(preflight).await.status, StatusCode::NO_CONTENT);
    let sent = send_form(&stack, &url, video.clone()).await;
    assert_eq!(sent.status, StatusCode::CREATED, "{sent:#?}");
    assert_eq!(sent.header("access-control-allow-origin"), "*");
    assert_eq!(sent.text("/job/input"), sent.text("/id"));
    let job = sent.text("/job/id");
    assert_eq!(stack.finished(job).await.text("/status"), "completed");
    // The same file may be sent again, after a lost response; another may not.
    let again = send_form(&stack, &url, video.clone()).await;
    assert_eq!((again.text("/id"), again.text("/job/id")), (sent.text("/id"), job), "{again:#?}");
    let mut other = video.clone();
    other.pop();
    let refused = send_form(&stack, &url, other).await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{refused:#?}");
    stack.list_has("/uploads", 1).await;
    stack.list_has("/jobs", 1).await;

    for method in [Method::GET, Method::PUT] {
        let refused = stack.send(http().request(method, format!("{}{url}", stack.url))).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED, "{refused:#?}");
        assert_eq!(refused.header("allow"), "POST");
    }

    // It is for nothing else.
    let token = made.text("/token");
    for path in ["/uploads", "/jobs"] {
        let read = http().get(format!("{}/api/v1{path}?token={token}", stack.url));
        let refused = stack.send(read).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        assert!(refused.text("/detail").contains("this URL"), "{refused:#?}");
    }
    let small = create(json!({ "upload": { "max_bytes": 1_000 } })).await;
    let refused = send_form(&stack, small.text("/url"), video).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE, "{refused:#?}");
    for (body, pointer) in [
        (json!({ "upload": { "then": { "output": "a.mp4" } } }), "#/upload/then/kind"),
        (json!({ "upload": { "then": { "kind": "convert" } } }), "#/upload/then/output"),
        (
            json!({ "upload": { "then": { "kind": "probe", "input": "a.mp4" } } }),
            "#/upload/then/input",
        ),
        (json!({ "upload": {}, "ttl": 86_401 }), "#/ttl"),
        (json!({ "upload": {}, "feed": true }), "#/upload"),
    ] {
        let refused = create(body).await;
        assert_eq!(refused.text("/errors/0/pointer"), pointer, "{refused:#?}");
    }
}
