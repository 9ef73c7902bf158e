//! Uploads as browsers and other clients send them.

use reqwest::{
    Method, StatusCode,
    multipart::{Form, Part},
};

use crate::stack::{Stack, bunny};

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
