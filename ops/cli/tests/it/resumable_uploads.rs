//! Uploads by tus: an interrupted client continues where it was, at any gateway.

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    fleet::Fleet,
    keys,
    polling::until,
    stack::{Stack, http, quick},
    tus_client::{BYTES, Client, client, id, media},
};

#[tokio::test]
async fn an_upload_in_pieces_is_the_file_and_a_jobs_input() {
    let stack = Stack::new().await;
    let (client, media) = (client(&stack), media());
    let length = media.len().to_string();
    // "bunny.mp4" in base64.
    let headers =
        [("upload-length", length.as_str()), ("upload-metadata", "filename YnVubnkubXA0")];
    let path = client.create(&headers).await;
    let (mut offset, third) = (0, media.len() / 3 + 1);
    for piece in media.chunks(third) {
        let before = client.head(&path).await;
        assert_eq!((before.status, before.offset()), (200, offset), "{before:?}");
        assert_eq!(before.header("upload-length"), length);
        assert_eq!(before.header("upload-metadata"), "filename YnVubnkubXA0");
        assert_eq!(before.header("cache-control"), "no-store");
        let appended = client.append(&path, offset, piece).await;
        offset += piece.len();
        assert_eq!((appended.status, appended.offset()), (204, offset), "{appended:?}");
    }
    assert_eq!(client.head(&path).await.offset(), media.len());
    let upload = stack.get(path.trim_start_matches("/api/v1")).await;
    assert_eq!(upload.text("/file_name"), "bunny.mp4", "{upload:#?}");
    assert_eq!(upload.json["size"], json!(media.len()));
    assert!(upload.json["media"]["duration"].is_number(), "{upload:#?}");
    let job = stack.convert(id(&path), "a.mp4", quick()).await;
    let job = stack.finished(&job).await;
    assert_eq!(job.text("/status"), "completed", "{job:#?}");
    let parts = stack.stored().into_iter().filter(|file| file.contains("partial"));
    assert_eq!(parts.collect::<Vec<_>>(), Vec::<String>::new());
}

#[tokio::test]
async fn an_interrupted_upload_continues_at_another_gateway_with_what_was_received() {
    let mut fleet = Fleet::new().await;
    let (key, urls) = (fleet.key.clone(), fleet.urls.clone());
    let first = Client { url: &urls[0], key: &key };
    let second = Client { url: &urls[1], key: &key };
    let media = media();
    let path = first.create(&[("upload-length", &media.len().to_string())]).await;
    // The connection ends in the middle of the body.
    let head = format!(
        "PATCH {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\ntus-resumable: 1.0.0\r\n\
         upload-offset: 0\r\ncontent-type: {BYTES}\r\ncontent-length: {}\r\n\r\n",
        media.len()
    );
    let mut connection = TcpStream::connect(urls[0].trim_start_matches("http://")).await.unwrap();
    connection.write_all(&[head.as_bytes(), &media[..300_000]].concat()).await.unwrap();
    drop(connection);
    let received = until(async || second.head(&path).await.offset(), |offset| *offset > 0).await;
    assert_eq!(received, 300_000, "all that was sent");
    // The first gateway dies; the second one goes on.
    fleet.kill_one("gateway");
    let appended = second.append(&path, received, &media[received..]).await;
    assert_eq!((appended.status, appended.offset()), (204, media.len()), "{appended:?}");
    let url = format!("{}{path}", urls[1]);
    let answer = http().get(url).header("x-api-key", &key).send().await.unwrap();
    let upload: serde_json::Value = answer.json().await.unwrap();
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&media));
    assert_eq!(upload["sha256"], hash, "{upload:#}");
}

/// A file for each of very many requests would take a block of the disk, and be listed by all of them.
#[tokio::test]
async fn small_pieces_are_joined_in_parts() {
    let stack = Stack::new().await;
    let (client, media) = (client(&stack), media());
    let path = client.create(&[("upload-length", &media.len().to_string())]).await;
    let parts = || stack.stored().into_iter().filter(|file| file.contains(id(&path))).count() - 1;
    let mut offset = 0;
    for (number, piece) in media.chunks(5_000).take(30).enumerate() {
        // A piece that is not what its client meant leaves what was there.
        if number % 10 == 9 {
            let wrong = client.patch(&path, offset, piece).header("upload-checksum", "sha1 AAAA");
            assert_eq!(client.send(wrong).await.status, 460);
        }
        let hash = base64(&<sha2::Sha256 as sha2::Digest>::digest(piece));
        let right = client.patch(&path, offset, piece);
        let right = client.send(right.header("upload-checksum", format!("sha256 {hash}"))).await;
        offset += piece.len();
        assert_eq!((right.status, right.offset()), (204, offset), "{right:?}");
    }
    assert_eq!((offset, parts()), (150_000, 3), "of at least 64 KiB, but for the last");
    let rest = client.append(&path, offset, &media[offset..]).await;
    assert_eq!((rest.status, rest.offset()), (204, media.len()), "{rest:?}");
    let upload = stack.get(path.trim_start_matches("/api/v1")).await;
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&media));
    assert_eq!(upload.text("/sha256"), hash, "{upload:#?}");
}

/// Otherwise each of several requests at once could store the whole length, of which one is counted.
#[tokio::test]
async fn a_request_stores_nothing_once_a_later_one_continues_its_upload() {
    let stack = Stack::new().await;
    let (client, media) = (client(&stack), media());
    let path = client.create(&[("upload-length", &media.len().to_string())]).await;
    let request = |bytes: usize| {
        format!(
            "PATCH {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {}\r\ntus-resumable: 1.0.0\r\n\
             connection: close\r\nupload-offset: 0\r\ncontent-type: {BYTES}\r\n\
             content-length: {bytes}\r\n\r\n",
            stack.key
        )
    };
    let mut slow = TcpStream::connect(stack.url.trim_start_matches("http://")).await.unwrap();
    slow.write_all(&[request(300_000).as_bytes(), &media[..200_000]].concat()).await.unwrap();
    // It has begun.
    let description = stack.stored().into_iter().find(|file| file.ends_with("/description"));
    let description = stack.data.path().join("storage").join(description.unwrap());
    let begun = |text: &String| text.contains("\"writer\":\"");
    until(async || std::fs::read_to_string(&description).unwrap_or_default(), begun).await;

    let appended = client.append(&path, 0, &media[..400_000]).await;
    assert_eq!((appended.status, appended.offset()), (204, 400_000), "{appended:?}");
    slow.write_all(&media[200_000..300_000]).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 409"), "{answer}");
    assert_eq!(client.head(&path).await.offset(), 400_000);
    let rest = client.append(&path, 400_000, &media[400_000..]).await;
    assert_eq!((rest.status, rest.offset()), (204, media.len()), "{rest:?}");
}

#[tokio::test]
async fn an_upload_whose_gateway_died_before_it_was_recorded_is_completed_by_its_client() {
    let mut stack = Stack::new().await;
    let media = media();
    let (url, key) = (stack.url.clone(), stack.key.clone());
    let client = Client { url: &url, key: &key };
    let path = client.create(&[("upload-length", &media.len().to_string())]).await;
    client.append(&path, 0, &media[..400_000]).await;
    stack.arm_failpoint("gateway.after_bytes", "");
    assert!(client.patch(&path, 400_000, &media[400_000..]).send().await.is_err());
    stack.died_and_restarted().await;
    // It believes that it is done if it reads the whole length.
    let offset = client.head(&path).await.offset();
    assert_eq!(offset, 400_000);
    let appended = client.append(&path, offset, &media[offset..]).await;
    assert_eq!((appended.status, appended.offset()), (204, media.len()), "{appended:?}");
    let upload = stack.get(path.trim_start_matches("/api/v1")).await;
    assert_eq!(upload.json["size"], json!(media.len()), "{upload:#?}");
}

#[tokio::test]
async fn every_extension_of_the_protocol_that_is_offered_works() {
    let stack = Stack::new().await;
    let (client, media) = (client(&stack), media());
    let offered = client.send(client.request(Method::OPTIONS, "/api/v1/uploads")).await;
    assert_eq!(
        offered.header("tus-extension"),
        "creation,creation-with-upload,creation-defer-length,expiration,checksum,termination,\
         concatenation"
    );
    assert!(offered.header("tus-max-size").parse::<u64>().is_ok(), "{offered:?}");

    // creation-with-upload, and the override of the method.
    let request = client.request(Method::POST, "/api/v1/uploads");
    let request = request.header("upload-length", media.len()).header("content-type", BYTES);
    let created = client.send(request.body(media[..100].to_vec())).await;
    assert_eq!((created.status, created.offset()), (201, 100), "{created:?}");
    assert!(created.header("upload-expires").ends_with("GMT"), "{created:?}");
    let path = created.header("location");
    let request = client.request(Method::POST, path).header("x-http-method-override", "PATCH");
    let request = request.header("upload-offset", "100").header("content-type", BYTES);
    let appended = client.send(request.body(media[100..].to_vec())).await;
    assert_eq!((appended.status, appended.offset()), (204, media.len()), "{appended:?}");

    // creation-defer-length.
    let path = client.create(&[("upload-defer-length", "1")]).await;
    assert_eq!(client.head(&path).await.header("upload-defer-length"), "1");
    client.append(&path, 0, &media[..5_000]).await;
    let rest = client.patch(&path, 5_000, &media[5_000..]);
    let appended = client.send(rest.header("upload-length", media.len())).await;
    assert_eq!(appended.status, 204, "{appended:?}");
    assert_eq!(stack.get(path.trim_start_matches("/api/v1")).await.status, StatusCode::OK);

    // checksum: bytes that are wrong are not kept.
    let path = client.create(&[("upload-length", &media.len().to_string())]).await;
    let wrong = client.patch(&path, 0, &media[..1_000]).header("upload-checksum", "sha1 AAAA");
    let refused = client.send(wrong).await;
    assert_eq!(refused.status, 460, "{refused:?}");
    assert_eq!(client.head(&path).await.offset(), 0);
    let hash = <sha2::Sha256 as sha2::Digest>::digest(&media[..1_000]);
    let hash = base64(&hash);
    let right = client.patch(&path, 0, &media[..1_000]);
    let right = client.send(right.header("upload-checksum", format!("sha256 {hash}"))).await;
    assert_eq!((right.status, right.offset()), (204, 1_000), "{right:?}");

    // termination.
    let ended = client.send(client.request(Method::DELETE, &path)).await;
    assert_eq!(ended.status, 204, "{ended:?}");
    assert_eq!(client.head(&path).await.status, 404);

    // concatenation.
    let (one, two) = media.split_at(media.len() / 2);
    let mut parts = Vec::new();
    for part in [one, two] {
        let length = part.len().to_string();
        let path = client.create(&[("upload-length", &length), ("upload-concat", "partial")]).await;
        assert_eq!(client.append(&path, 0, part).await.status, 204);
        parts.push(format!("{}{path}", stack.url));
    }
    let twice = format!("final;{0} {0}", parts[0]);
    let twice = client.request(Method::POST, "/api/v1/uploads").header("upload-concat", twice);
    assert_eq!(client.send(twice).await.status, 400);
    let whole = client.create(&[("upload-concat", &format!("final;{}", parts.join(" ")))]).await;
    let upload = stack.get(whole.trim_start_matches("/api/v1")).await;
    assert_eq!(upload.json["size"], json!(media.len()), "{upload:#?}");
    assert_eq!(client.head(&parts[0].replace(&stack.url, "")).await.status, 404);
    // Three files are stored, and nothing is held any more.
    let stored = 3 * media.len();
    stack.poll("/accounts/default", |shown| shown.json["storage_taken"] == stored).await;
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[tokio::test]
async fn what_a_client_may_not_do_is_refused_and_nothing_is_lost() {
    let stack = Stack::new().await;
    let (client, media) = (client(&stack), media());
    let path = client.create(&[("upload-length", &media.len().to_string())]).await;
    client.append(&path, 0, &media[..1_000]).await;
    let video = client.request(Method::PATCH, &path).header("upload-offset", "1000");
    let refusals = [
        (client.patch(&path, 999, b"x"), 409),
        (video.header("content-type", "video/mp4").body("x"), 415),
        (client.patch(&path, 1_000, &[media.clone(), media.clone()].concat()), 413),
        (client.request(Method::PATCH, &path).header("content-type", BYTES), 400),
        (
            client.request(Method::HEAD, "/api/v1/uploads/upload_00000000000000000000000000000000"),
            404,
        ),
        (client.request(Method::POST, "/api/v1/uploads"), 400),
        (client.request(Method::POST, "/api/v1/uploads").header("upload-length", "-1"), 400),
        (client.request(Method::POST, "/api/v1/uploads").header("upload-length", "0"), 422),
        (client.request(Method::POST, "/api/v1/uploads").header("upload-length", 1_u64 << 60), 413),
        (client.request(Method::POST, "/api/v1/uploads").header("upload-concat", "final;x"), 400),
    ];
    for (number, (request, status)) in refusals.into_iter().enumerate() {
        let refused = client.send(request).await;
        assert_eq!(refused.status, status, "{number}: {refused:?}");
    }
    let older = http().head(format!("{}{path}", stack.url)).header("x-api-key", &stack.key);
    let older = client.send(older.header("tus-resumable", "0.2.2")).await;
    assert_eq!((older.status, older.header("tus-version")), (412, "1.0.0"), "{older:?}");
    assert_eq!(client.head(&path).await.offset(), 1_000);

    // Another account does not find it; what is not media is refused by its first bytes.
    let (_, other) = keys::key(&stack, "other", &["jobs:write"]).await;
    let other = Client { url: &stack.url, key: &other };
    assert_eq!(other.head(&path).await.status, 404);
    assert_eq!(other.append(&path, 1_000, b"x").await.status, 404);
    let path = client.create(&[("upload-length", "2000")]).await;
    let refused = client.append(&path, 0, &b"%PDF-1.7 ".repeat(100)).await;
    assert_eq!(refused.status, 422, "{refused:?}");
}

#[tokio::test]
async fn the_url_of_an_upload_token_stays_within_what_the_token_grants() {
    let stack = Stack::new().await;
    let media = media();
    let token = stack.post("/tokens", &json!({ "upload": { "max_bytes": 1_000 } })).await;
    let url = format!("{}{}", stack.url, token.text("/url"));
    for body in [vec![], media.clone()] {
        let request = http().post(&url).header("tus-resumable", "1.0.0");
        let request = request.header("upload-length", media.len()).header("content-type", BYTES);
        let refused = request.body(body).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{refused:?}");
    }
    assert_eq!(stack.stored(), Vec::<String>::new());
}

#[tokio::test]
async fn an_accounts_limits_hold_for_uploads_of_unknown_length() {
    let stack = Stack::new().await;
    let (client, media) = (client(&stack), media());
    let free = media.len() / 2;
    let limits = json!({ "limits": { "storage_bytes": free } });
    let changed = stack.request(Method::PATCH, "/accounts/default").json(&limits);
    assert_eq!(stack.send(changed).await.status, StatusCode::OK);
    let path = client.create(&[("upload-defer-length", "1")]).await;
    assert_eq!(client.append(&path, 0, &media[..1_000]).await.status, 204);
    let beyond = client.append(&path, 1_000, &media[1_000..]).await;
    assert_eq!(beyond.status, 413, "{beyond:?}");
    let stated = client.patch(&path, 1_000, &media[1_000..2_000]);
    let stated = client.send(stated.header("upload-length", media.len())).await;
    assert_eq!(stated.status, 413, "{stated:?}");
    assert_eq!(client.append(&path, 1_000, &media[1_000..free]).await.status, 204);
}
