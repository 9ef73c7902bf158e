use std::time::{Duration, Instant};

use ffapi_storage::{EgressError, PutError, Received};

use crate::{
    Sender,
    host::{Host, Reply},
    output,
};

const FILE: &[u8] = b"the bytes of a video";

#[tokio::test]
async fn a_file_is_sent_whole_with_its_length_and_type() {
    let host = Host::new([]).await;
    let to = output(&format!("{}/a.mp4?signature=hush", host.url));
    Sender::new().send(&to, FILE).await.unwrap();
    let request = &host.requests()[0];
    assert_eq!(request.line, "PUT /a.mp4?signature=hush HTTP/1.1");
    assert_eq!(request.header("content-length"), Some("20"));
    assert_eq!(request.header("transfer-encoding"), None, "S3 takes no chunks");
    assert_eq!(request.header("content-type"), Some("video/mp4"));
    assert_eq!(request.body, FILE);
    // One of several files may be empty.
    Sender::new().send(&output(&format!("{}/a.vtt", host.url)), b"").await.unwrap();
    assert_eq!(host.requests()[1].header("content-length"), Some("0"));
}

#[tokio::test]
async fn a_host_that_is_away_or_busy_is_asked_again_with_the_whole_file() {
    let busy = Reply::Status(503, "retry-after: 2\r\n".to_owned(), "");
    let host = Host::new([Reply::Drop, Reply::status(500), busy]).await;
    let begin = Instant::now();
    Sender::new().send(&output(&format!("{}/a.mp4", host.url)), FILE).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(2), "as it asked");
    let requests = host.requests();
    assert_eq!(requests.len(), 4, "{requests:?}");
    assert_eq!(requests[3].body, FILE);
}

#[tokio::test]
async fn a_host_that_asks_to_wait_for_long_is_left_to_a_later_attempt() {
    let busy = Reply::Status(429, "retry-after: 3600\r\n".to_owned(), "");
    let host = Host::new([busy]).await;
    let failed = Sender::new().send(&output(&format!("{}/a.mp4", host.url)), FILE).await;
    assert!(matches!(failed, Err(PutError::Busy { .. })), "{failed:?}");
    assert_eq!(host.requests().len(), 1);
}

/// What a host's only answer leads to.
async fn refused(status: u16, body: &'static str) -> PutError {
    let host = Host::new([Reply::Status(status, String::new(), body)]).await;
    let to = output(&format!("{}/a.mp4?signature=hush", host.url));
    let error = Sender::new().send(&to, FILE).await.unwrap_err();
    assert_eq!(host.requests().len(), 1, "it is not asked again");
    assert!(!error.to_string().contains("hush"), "{error}");
    error
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why() {
    let denied = "<Error><Code>SignatureDoesNotMatch</Code><Message>…</Message></Error>";
    let denied = refused(403, denied).await;
    assert!(matches!(denied, PutError::Denied { .. }), "{denied:?}");
    assert!(denied.to_string().ends_with("it answered 403 SignatureDoesNotMatch"), "{denied}");
    let expired = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    let expired = refused(403, expired).await;
    assert!(matches!(expired, PutError::Expired { at: None }), "{expired:?}");
    let token = refused(400, "<Error><Code>ExpiredToken</Code></Error>").await;
    assert!(matches!(token, PutError::Expired { .. }), "{token:?}");
    let rejected = refused(400, "<Error><Code><script>alert(1)</script></Code></Error>").await;
    assert!(matches!(rejected, PutError::Rejected { code: None, .. }), "{rejected:?}");
    assert!(rejected.to_string().ends_with("it answered 400"), "{rejected}");
}

#[tokio::test]
async fn nothing_is_sent_by_a_signature_that_has_ended() {
    let host = Host::new([]).await;
    let signed = "X-Amz-Date=20240101T000000Z&X-Amz-Expires=3600&X-Amz-Signature=hush";
    let failed = Sender::new().send(&output(&format!("{}/a.mp4?{signed}", host.url)), FILE).await;
    let error = failed.unwrap_err();
    assert!(matches!(error, PutError::Expired { at: Some(_) }), "{error:?}");
    assert!(error.to_string().ends_with("ended at 2024-01-01T01:00:00.000Z"), "{error}");
    assert!(host.requests().is_empty());
}

fn moved(status: u16, to: &str) -> Reply {
    Reply::Status(status, format!("location: {to}\r\n"), "")
}

#[tokio::test]
async fn a_redirect_that_keeps_the_file_is_followed_to_allowed_addresses_only() {
    let other = Host::new([]).await;
    let host = Host::new([moved(307, &format!("{}/b.mp4", other.url))]).await;
    Sender::new().send(&output(&format!("{}/a.mp4", host.url)), FILE).await.unwrap();
    assert_eq!(other.requests()[0].body, FILE);

    let forbidden = other.url.replace("127.0.0.1", "127.0.0.2");
    let host = Host::new([moved(308, &forbidden)]).await;
    let failed = Sender::new().send(&output(&format!("{}/a.mp4", host.url)), FILE).await;
    assert!(matches!(failed, Err(PutError::Egress(EgressError::Closed { .. }))), "{failed:?}");

    // It would become a GET.
    let host = Host::new([moved(303, &other.url)]).await;
    let failed = Sender::new().send(&output(&format!("{}/a.mp4", host.url)), FILE).await;
    assert!(matches!(failed, Err(PutError::Egress(EgressError::Redirects(_)))), "{failed:?}");

    let host = Host::new(std::iter::repeat_n(moved(307, "/again"), 9)).await;
    let failed = Sender::new().send(&output(&format!("{}/a.mp4", host.url)), FILE).await;
    assert!(matches!(failed, Err(PutError::Egress(EgressError::Redirects(_)))), "{failed:?}");
}

#[tokio::test]
async fn a_host_that_reports_success_before_it_has_the_file_is_to_blame() {
    let host = Host::new([Reply::Early]).await;
    // More than fits into the buffers of a connection.
    let file = vec![7; 64 * 1024 * 1024];
    let failed = Sender::new().send(&output(&format!("{}/a.mp4", host.url)), &file).await;
    assert!(matches!(failed, Err(PutError::Early(_))), "{failed:?}");
    // A redirect that comes early is followed with the whole file.
    let other = Host::new([Reply::Early]).await;
    let host = Host::new([moved(307, &format!("{}/b.mp4", other.url))]).await;
    let failed = Sender::new().send(&output(&format!("{}/a.mp4", host.url)), &file).await;
    assert!(matches!(failed, Err(PutError::Early(_))), "{failed:?}");
}

#[tokio::test]
async fn what_is_not_as_it_was_sealed_is_no_success() {
    let host = Host::new([]).await;
    let (sender, to) = (Sender::new(), output(&format!("{}/a.mp4", host.url)));
    let sealed = sender.stage(&to, FILE).await;
    let longer = Received { size: 21, ..sealed.clone() };
    assert!(matches!(sender.put(&to, &longer).await, Err(PutError::Changed)));
    assert!(host.requests().is_empty());
    let other = Received { sha256: "00".repeat(32), ..sealed };
    assert!(matches!(sender.put(&to, &other).await, Err(PutError::Changed)));
}
