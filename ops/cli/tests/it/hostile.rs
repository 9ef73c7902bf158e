use std::{collections::BTreeMap, fmt::Write, process::Command};

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::{
    chaos,
    polling::until,
    stack::{Stack, bunny, quick, slow},
};

#[tokio::test]
async fn invalid_media_fails_with_a_message_and_without_retry() {
    let stack = Stack::new().await;
    let video = std::fs::read(bunny()).unwrap();
    let zip = [b"PK\x03\x04".as_slice(), &[0; 600]].concat();
    let playlist = b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:1,\nfile:///etc/passwd\n".to_vec();
    for (n, (bytes, says)) in [
        (Vec::new(), "empty"),
        (b"this is a letter, not a video".to_vec(), "not a media file"),
        (zip, "not a media file"),
        (playlist, "only refer to media"),
        (video[..video.len() / 2].to_vec(), ""),
    ]
    .into_iter()
    .enumerate()
    {
        // Written to the storage directly: the checks of uploads are not the only ones.
        let input = stack.write_file(&format!("in/{n}"), &bytes);
        let job = stack.convert(&input, &format!("{n}.mp4"), json!([])).await;
        let ended = stack.finished(&job).await;
        assert_eq!(ended.text("/status"), "failed", "{ended:#?}");
        assert_eq!(ended.text("/error/code"), "invalid_input", "{ended:#?}");
        assert_eq!(ended.text("/error/retry_hint"), "no_retry");
        assert!(ended.text("/error/message").contains(says), "{says}: {ended:#?}");
        assert_eq!(ended.json["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(ended.json["dead_lettered"], false);
    }
    let job = stack.convert("nowhere.mp4", "x.mp4", json!([])).await;
    assert_eq!(stack.finished(&job).await.text("/error/code"), "input_not_found");
    // The worker is alive, and failed jobs left no files.
    assert!(stack.files().iter().all(|file| file.contains("/in/")), "{:?}", stack.files());
    let upload = stack.upload(video).await;
    let job = stack.convert(&upload, "good.mp4", quick()).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "completed");
}

#[tokio::test]
async fn an_endless_upload_is_aborted_and_leaves_no_file() {
    let stack = Stack::with(&[("FFAPI_GATEWAY__MAX_UPLOAD", "1000000")]).await;
    let chunk = || Ok::<_, std::io::Error>(vec![7_u8; 65_536]);
    // It starts like a video, and never ends.
    let first = futures::stream::iter([Ok(b"\x1a\x45\xdf\xa3".to_vec())]);
    let endless = futures::StreamExt::chain(first, futures::stream::repeat_with(chunk));
    let request = stack
        .request(Method::POST, "/uploads")
        .header("content-type", "application/octet-stream")
        .body(reqwest::Body::wrap_stream(endless));
    // The server responds and closes the connection during the upload, so the client may not
    // receive the response.
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
    assert_eq!(stack.stored(), Vec::<String>::new());
    let request = stack.request(Method::POST, "/uploads").body(vec![7; 1_000_001]);
    let announced = stack.send(request.header("content-type", "application/octet-stream")).await;
    assert_eq!(announced.status, StatusCode::PAYLOAD_TOO_LARGE, "{announced:?}");
    assert!(announced.text("/detail").contains("1000000 bytes"), "{announced:?}");
}

#[tokio::test]
async fn pipes_and_devices_in_the_store_are_rejected_as_inputs() {
    let stack = Stack::new().await;
    let store = stack.data.path().join("storage/default");
    std::fs::create_dir_all(&store).unwrap();
    assert!(Command::new("mkfifo").arg(store.join("pipe.mp4")).status().unwrap().success());
    std::os::unix::fs::symlink("/dev/zero", store.join("zero.mp4")).unwrap();
    std::os::unix::fs::symlink(bunny(), store.join("link.mp4")).unwrap();
    for name in ["pipe.mp4", "zero.mp4", "link.mp4"] {
        let job = stack.convert(name, &format!("of-{name}"), quick()).await;
        let ended = stack.finished(&job).await;
        assert_eq!(ended.text("/error/code"), "input_not_found", "{ended:#?}");
        assert_eq!(ended.json["attempts"].as_array().unwrap().len(), 1);
    }
    // A pipe is also not accepted as the reference of a comparison.
    let upload = stack.upload_bunny().await;
    let body = json!({ "input": upload, "output": "pipe.mp4", "operations": quick() });
    assert_eq!(stack.post("/convert", &body).await.status, StatusCode::CONFLICT);
    let good = stack.convert(&upload, "good.mp4", quick()).await;
    assert_eq!(stack.finished(&good).await.text("/status"), "completed");
}

#[tokio::test]
async fn the_log_of_the_media_process_can_be_read() {
    let stack = Stack::new().await;
    let headless = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x10mdat12345678";
    let upload = stack.write_file("headless.mp4", headless);
    let job = stack.convert(&upload, "a.mp4", json!([])).await;
    stack.finished(&job).await;
    let page = stack.get(&format!("/jobs/{job}/logs")).await;
    let line = &page.json["data"][0];
    assert_eq!(line["level"], "error", "{page:#?}");
    assert_eq!((&line["attempt"], &line["stage"]), (&json!(1), &json!("starting")));
    assert!(line["message"].as_str().unwrap().contains("moov atom not found"), "{page:#?}");
    let cursor = page.text("/next_cursor");
    let rest = stack.get(&format!("/jobs/{job}/logs?cursor={cursor}")).await;
    assert_eq!(rest.json["data"], json!([]));
}

#[tokio::test]
async fn metadata_beyond_what_a_result_may_have_is_left_out_with_a_note() {
    let stack = Stack::new().await;
    // A hundred tags and a thousand chapters, each of four thousand bytes.
    let (mut metadata, title) = (";FFMETADATA1\n".to_owned(), "\u{1f3ac}".repeat(1_024));
    for n in 0..100 {
        writeln!(metadata, "tag{n}={title}").unwrap();
    }
    for n in 0..1_000 {
        let end = n + 1;
        writeln!(metadata, "[CHAPTER]\nTIMEBASE=1/1000\nSTART={n}\nEND={end}\ntitle={title}")
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let (text, video) = (folder.path().join("metadata.txt"), folder.path().join("video.mkv"));
    std::fs::write(&text, metadata).unwrap();
    let mut made = Command::new("ffmpeg");
    made.args(["-v", "error", "-f", "lavfi", "-i", "testsrc2=d=1:s=64x64", "-i"]).arg(&text);
    made.args(["-map_metadata", "1", "-c:v", "ffv1"]).arg(&video);
    assert!(made.status().unwrap().success());
    let video = stack.write_file("video.mkv", &std::fs::read(&video).unwrap());
    let probe = stack.post("/probe", &json!({ "input": video })).await;
    let ended = stack.finished(probe.text("/job/id")).await;
    assert_eq!(ended.text("/status"), "completed", "{ended:#?}");
    let result = &ended.json["result"];
    let note = result["notes"][0].as_str().unwrap();
    assert!(note.starts_with("left out because there are too many: "), "{note}");
    assert!(!result["tags"].as_object().unwrap().is_empty(), "{result:#?}");
    assert!(result.to_string().len() < 128 * 1024, "{}", result.to_string().len());
}

/// The process id of the media child that uses the CPU.
async fn busy_child(stack: &Stack) -> u32 {
    let children = || chaos::children(stack.pid(), "media-child").into_iter();
    let before: BTreeMap<u32, u64> = children().map(|pid| (pid, chaos::cpu_time(pid))).collect();
    let works = |pid: &u32| {
        before.get(pid).is_some_and(|before| chaos::cpu_time(*pid) > before.saturating_add(20))
    };
    until(async || children().find(works), Option::is_some).await.unwrap()
}

#[tokio::test]
async fn a_stalled_media_child_is_one_failed_attempt() {
    let stack = Stack::with(&[("FFAPI_WORKER__STALL_TIMEOUT", "20")]).await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", slow()).await;
    stack.until(&job, |job| job.text("/status") == "processing").await;
    let stuck = busy_child(&stack).await.to_string();
    Command::new("kill").args(["-s", "STOP", &stuck]).status().unwrap();
    let failed = stack.until(&job, |job| job.json["attempts"][0]["outcome"].is_string()).await;
    assert_eq!(failed.text("/attempts/0/error/code"), "media_stalled", "{failed:#?}");
    stack.until(&job, |job| job.json["attempt"].as_u64() >= Some(2)).await;
    let stuck = std::path::PathBuf::from(format!("/proc/{stuck}"));
    until(async || stuck.exists(), |exists| !exists).await;
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "cancelled");
}

#[tokio::test]
async fn a_crashed_media_child_is_one_failed_attempt_and_the_worker_survives() {
    let stack = Stack::new().await;
    let upload = stack.upload_bunny().await;
    let job = stack.convert(&upload, "a.mp4", slow()).await;
    stack.until(&job, |job| job.json["progress"].as_f64().unwrap_or(0.0) > 0.0).await;
    chaos::kill(busy_child(&stack).await);
    let failed = stack.until(&job, |job| job.json["attempts"][0]["outcome"].is_string()).await;
    assert_eq!(failed.text("/attempts/0/outcome"), "failed", "{failed:#?}");
    assert_eq!(failed.text("/attempts/0/error/code"), "resource_exhausted");
    // That it is retried automatically is enough here.
    stack.until(&job, |job| job.json["attempt"].as_u64() >= Some(2)).await;
    stack.post(&format!("/jobs/{job}/cancel"), &json!({})).await;
    assert_eq!(stack.finished(&job).await.text("/status"), "cancelled");
}

#[tokio::test]
async fn uploads_that_are_not_media_are_rejected() {
    let stack = Stack::new().await;
    let send = async |name: &str, bytes: &[u8]| {
        let request = stack.request(Method::POST, "/uploads");
        let request = request.header("content-type", "application/octet-stream");
        let disposition = format!("attachment; filename=\"{name}\"");
        stack.send(request.header("content-disposition", disposition).body(bytes.to_vec())).await
    };
    let video = std::fs::read(bunny()).unwrap();
    for (name, bytes) in [
        ("video.mp4", b"".as_slice()),
        ("video.mp4", b"this is a letter, not a video"),
        ("video.mp4", b"PK\x03\x04....ftypisom"),
        ("run.exe", b"MZ\x90\x00"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"),
        ("video.ffconcat", b"ffconcat version 1.0\nfile /etc/passwd\n"),
    ] {
        let answer = send(name, bytes).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {answer:#?}");
        assert_eq!(answer.text("/errors/0/pointer"), "#", "{name}: {answer:#?}");
    }
    // A file that only starts like a video is detected by a worker's sandboxed probe.
    let whole = video.len();
    let bomb = [
        b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR\xff\xff\xff\x7f\xff\xff\xff\x7f\x08\x02\0\0\0"
            .as_slice(),
        &[0; 900],
    ]
    .concat();
    for (name, bytes) in [
        ("cut.mp4", &video[..whole / 2]),
        ("head.mp4", &video[..2_000]),
        ("huge.png", bomb.as_slice()),
    ] {
        let answer = send(name, bytes).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{name}: {answer:#?}");
        assert_eq!(answer.text("/errors/0/pointer"), "#", "{name}: {answer:#?}");
    }
    assert_eq!(stack.stored(), Vec::<String>::new());
    for (name, bytes) in [
        ("video.mp4", video.as_slice()),
        ("a video (1) [final].MP4", &video),
        ("without", &video),
        ("words.srt", b"1\n00:00:01,000 --> 00:00:02,000\nHi\n"),
    ] {
        let answer = send(name, bytes).await;
        assert_eq!((answer.status, answer.text("/file_name")), (StatusCode::CREATED, name));
        assert!(answer.json["media"]["streams"][0]["codec"].is_string(), "{answer:#?}");
        assert!(answer.json["warnings"] == json!([]), "{answer:#?}");
    }
    // The content counts, whatever the name says.
    for name in ["video.mkv", "image.png"] {
        let answer = send(name, &video).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{name}: {answer:#?}");
        assert!(answer.text("/warnings/0").contains("the content counts"), "{answer:#?}");
    }
}

#[tokio::test]
async fn without_a_worker_uploads_are_accepted_only_if_configured() {
    let mut fleet = crate::fleet::Fleet::without_workers().await;
    let video = std::fs::read(bunny()).unwrap();
    let taken = fleet.post("/uploads", video.clone().into(), "").await;
    assert_eq!((taken.status, taken.json.get("media")), (StatusCode::CREATED, None), "{taken:#?}");
    fleet.start_with("gateway", &[("FFAPI_GATEWAY__INSPECTION__ON_FAILURE", "refuse")]);
    let strict = fleet.urls.last().unwrap().clone();
    fleet.until(&strict, "/health/ready", |status, _| status == StatusCode::OK).await;
    let request = crate::stack::http().post(format!("{strict}/api/v1/uploads"));
    let request = request.header("content-type", "application/octet-stream");
    let refused = request.header("x-api-key", &fleet.key).body(video).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// A server with clamd's INSTREAM protocol that reports data containing `EICAR`.
async fn clamd() -> std::net::SocketAddr {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut command = [0; 10];
                connection.read_exact(&mut command).await.unwrap();
                assert_eq!(&command, b"zINSTREAM\0");
                let mut seen = Vec::new();
                loop {
                    let length = connection.read_u32().await.unwrap() as usize;
                    if length == 0 {
                        break;
                    }
                    let mut chunk = vec![0; length];
                    connection.read_exact(&mut chunk).await.unwrap();
                    seen.extend(chunk);
                }
                let found = seen.windows(5).any(|word| word == b"EICAR");
                let says = if found { "stream: Eicar-Test FOUND\0" } else { "stream: OK\0" };
                connection.write_all(says.as_bytes()).await.unwrap();
            });
        }
    });
    address
}

#[tokio::test]
async fn uploads_are_scanned_and_infected_ones_are_deleted() {
    let address = clamd().await.to_string();
    let stack = Stack::with(&[("FFAPI_GATEWAY__SCANNER__ADDRESS", &address)]).await;
    let video = std::fs::read(bunny()).unwrap();
    let send = async |stack: &Stack, bytes: Vec<u8>| {
        let request = stack.request(Method::POST, "/uploads");
        let request = request.header("content-type", "application/octet-stream");
        stack.send(request.body(bytes)).await
    };
    let sick = [video.as_slice(), b"EICAR"].concat();
    let refused = send(&stack, sick).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{refused:#?}");
    assert!(refused.text("/detail").contains("Eicar-Test"), "{refused:#?}");
    assert_eq!(stack.stored(), Vec::<String>::new());
    assert_eq!(send(&stack, video.clone()).await.status, StatusCode::CREATED);

    // Without a scanner no upload is accepted, unless that is configured.
    let unreachable = format!("127.0.0.1:{}", crate::stack::free_port());
    let strict = Stack::with(&[("FFAPI_GATEWAY__SCANNER__ADDRESS", &unreachable)]).await;
    let refused = send(&strict, video.clone()).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:#?}");
    assert_eq!(strict.stored(), Vec::<String>::new());
    let lenient = Stack::with(&[
        ("FFAPI_GATEWAY__SCANNER__ADDRESS", &unreachable),
        ("FFAPI_GATEWAY__SCANNER__ON_FAILURE", "accept"),
    ])
    .await;
    assert_eq!(send(&lenient, video).await.status, StatusCode::CREATED);
}
