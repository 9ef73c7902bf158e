//! Requests for one upload at once: what is recorded keeps its bytes, and nothing is stored for an upload
//! or an account that is gone.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    fleet::Fleet,
    keys, operator,
    polling::until,
    stack::{Stack, http},
    tus_client::{Client, Waiting, client, id, media},
};

/// A media file with this many bytes more, which have no meaning.
fn padded(bytes: usize) -> Vec<u8> {
    let mut media = media();
    media.extend(u32::try_from(bytes + 8).unwrap().to_be_bytes());
    media.extend(b"free");
    media.resize(media.len() + bytes, 1);
    media
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The file of an upload.
fn file(data: &Path, id: &str) -> PathBuf {
    data.join("storage/default/.uploads").join(id)
}

fn parts(stack: &Stack) -> Vec<String> {
    stack.stored().into_iter().filter(|file| file.contains("partial")).collect()
}

#[tokio::test]
async fn a_request_that_waits_for_its_bytes_does_not_bring_back_a_deleted_upload() {
    let stack = Stack::new().await;
    let (client, media) = (client(&stack), media());
    let length = media.len().to_string();
    let kinds: [&[(&str, &str)]; 3] = [
        &[("upload-defer-length", "1")],
        &[("upload-length", &length)],
        // These are not looked into, so that the request already has its turn.
        &[("upload-length", &length), ("upload-concat", "partial")],
    ];
    for headers in kinds {
        let path = client.create(headers).await;
        let waiting = Waiting::begin(&client, &path, media.len(), "").await;
        let ended = client.send(client.request(Method::DELETE, &path)).await;
        assert_eq!(ended.status, 204, "{ended:?}");
        assert_eq!(waiting.end(&media).await, 404, "{headers:?}");
        assert_eq!(client.head(&path).await.status, 404, "{headers:?}");
        assert_eq!(stack.stored(), Vec::<String>::new(), "{headers:?}");
        stack.poll("/accounts/default", |shown| shown.json["storage_taken"] == 0).await;
    }
}

#[tokio::test]
async fn a_recorded_upload_keeps_its_bytes_whatever_earlier_requests_send() {
    let stack = Stack::new().await;
    let (client, media) = (client(&stack), media());
    let mut junk = media[..4_096].to_vec();
    junk.resize(300_000, 7);
    for other in [padded(1_000_000), junk] {
        let path = client.create(&[("upload-defer-length", "1")]).await;
        let length = format!("upload-length: {}\r\n", other.len());
        let waiting = Waiting::begin(&client, &path, other.len(), &length).await;
        let whole = client.patch(&path, 0, &media).header("upload-length", media.len());
        let recorded = client.send(whole).await;
        assert_eq!(recorded.status, 204, "{recorded:?}");
        assert_eq!(waiting.end(&other).await, 409);
        let upload = stack.get(path.trim_start_matches("/api/v1")).await;
        assert_eq!(upload.text("/sha256"), sha256(&media), "{upload:#?}");
        let stored = std::fs::read(file(stack.data.path(), id(&path))).unwrap();
        assert_eq!(sha256(&stored), sha256(&media));
        assert_eq!(parts(&stack), Vec::<String>::new());
    }
    let stored = 2 * media.len();
    stack.poll("/accounts/default", |shown| shown.json["storage_taken"] == stored).await;
}

#[tokio::test]
async fn an_account_that_was_erased_gets_no_bytes_of_requests_that_began_before() {
    let stack = Stack::new().await;
    let (_, key) = keys::key(&stack, "acme", &["jobs:read", "jobs:write"]).await;
    let (client, media) = (Client { url: &stack.url, key: &key }, media());
    let length = media.len().to_string();
    let mut waiting = Vec::new();
    for headers in [&[("upload-length", length.as_str())][..], &[("upload-defer-length", "1")]] {
        let path = client.create(headers).await;
        waiting.push(Waiting::begin(&client, &path, media.len(), "").await);
    }
    // One of them is being stored.
    waiting[0].send(&media[..200_000]).await;
    let folder = stack.data.path().join("storage/acme");
    let begun = async || {
        let all = folder.join(".uploads-partial").read_dir().unwrap();
        let texts = all.map(|one| std::fs::read_to_string(one.unwrap().path().join("description")));
        texts.filter(|text| text.as_ref().is_ok_and(|text| text.contains("\"writer\":\""))).count()
    };
    until(begun, |begun| *begun == 1).await;
    let erased = stack.send(stack.request(Method::DELETE, "/accounts/acme")).await;
    assert!(erased.status.is_success(), "{erased:#?}");
    assert!(!folder.exists());
    for (waiting, rest) in waiting.into_iter().zip([&media[200_000..], &media]) {
        assert_eq!(waiting.end(rest).await, 410);
        let left = walk(&folder);
        assert_eq!(left, Vec::<PathBuf>::new());
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = folder.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

/// Joins a part and resets the request as soon as the file is stored; false if the response was faster.
async fn reset(stack: &Stack, part: &str) -> bool {
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let files = || stack.stored().iter().filter(|path| path.contains("/.uploads/")).count();
    let before = files();
    let request = http2.post(format!("{}/api/v1/uploads", stack.url));
    let request = request.header("x-api-key", &stack.key).header("tus-resumable", "1.0.0");
    let sent = tokio::spawn(request.header("upload-concat", format!("final;{part}")).send());
    until(async || files(), |files| *files > before).await;
    sent.abort();
    sent.await.is_err_and(|error| error.is_cancelled())
}

#[tokio::test]
async fn joined_parts_are_an_upload_even_if_their_request_is_reset() {
    let stack = Stack::new().await;
    let client = client(&stack);
    let (mut sent, mut size, mut resets) = (0, 0, 0);
    while resets < 3 {
        // Each file differs, so that each is probed.
        let file = padded(sent + 1_000_000);
        size += file.len();
        sent += 1;
        let length = file.len().to_string();
        let headers = [("upload-length", length.as_str()), ("upload-concat", "partial")];
        let part = client.create(&headers).await;
        assert_eq!(client.append(&part, 0, &file).await.status, 204);
        resets += u32::from(reset(&stack, &part).await);
    }
    let completed = async || {
        let (_, printed) = operator::run(&stack, &["replay", "--tenant", "default"]);
        printed.matches("ev.upload.").count()
    };
    until(completed, |uploads| *uploads == sent).await;
    until(async || parts(&stack), Vec::is_empty).await;
    stack.poll("/accounts/default", |shown| shown.json["storage_taken"] == size).await;
}

#[tokio::test]
async fn an_upload_that_cannot_be_inspected_keeps_its_parts_and_their_storage() {
    let mut fleet = Fleet::without_workers().await;
    fleet.start_with("gateway", &[("FFAPI_GATEWAY__INSPECTION__ON_FAILURE", "refuse")]);
    let (key, urls) = (fleet.key.clone(), fleet.urls.clone());
    let strict = Client { url: urls.last().unwrap(), key: &key };
    fleet.until(strict.url, "/health/ready", |status, _| status.is_success()).await;
    let media = media();
    let path = strict.create(&[("upload-length", &media.len().to_string())]).await;
    for offset in [0, 0, 0] {
        let refused = strict.append(&path, offset, &media).await;
        assert_eq!(refused.status, 503, "{refused:?}");
    }
    // What is held for another upload is counted later than what was released before.
    strict.create(&[("upload-length", "1000")]).await;
    let taken = async || {
        let account = format!("{}/api/v1/accounts/default", urls[0]);
        let shown = http().get(account).header("x-api-key", &key).send().await.unwrap();
        shown.json::<Value>().await.unwrap()["storage_taken"].clone()
    };
    let held = json!(media.len() + 1_000);
    until(taken, |taken| *taken == held).await;
    let lenient = Client { url: &urls[0], key: &key };
    let appended = lenient.append(&path, 0, &media).await;
    assert_eq!((appended.status, appended.offset()), (204, media.len()), "{appended:?}");
    until(taken, |taken| *taken == held).await;
}

/// As clients do whose connection was cut after the last byte.
#[tokio::test]
async fn a_file_may_be_completed_by_several_requests_at_once() {
    let fleet = Fleet::new().await;
    let (key, urls) = (fleet.key.clone(), fleet.urls.clone());
    let clients: Vec<Client<'_>> = urls.iter().map(|url| Client { url, key: &key }).collect();
    for number in 0..3 {
        let file_bytes = padded(number + 100_000);
        let at = file_bytes.len() - 90_000;
        let path = clients[0].create(&[("upload-length", &file_bytes.len().to_string())]).await;
        assert_eq!(clients[0].append(&path, 0, &file_bytes[..at]).await.status, 204);
        let last = (0..6).map(|n| clients[n % 2].append(&path, at, &file_bytes[at..]));
        let answers = futures::future::join_all(last).await;
        let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        // The others lost their turn, or found it complete.
        assert!(statuses.iter().all(|status| [204, 409, 503].contains(status)), "{answers:?}");
        let head = clients[1].head(&path).await;
        if head.offset() < file_bytes.len() {
            let offset = head.offset();
            let again = clients[1].append(&path, offset, &file_bytes[offset..]).await;
            assert_eq!(again.status, 204, "{again:?}");
        }
        let stored = std::fs::read(file(fleet.data.path(), id(&path))).unwrap();
        assert_eq!(sha256(&stored), sha256(&file_bytes), "{statuses:?}");
        let uploads = file(fleet.data.path(), "").read_dir().unwrap().count();
        assert_eq!(uploads, number + 1, "no copy is left: {statuses:?}");
    }
}
