//! The HTTP transport: headers, CORS, TLS, and slow or idle clients.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use reqwest::{Method, StatusCode};

use crate::{
    polling::{POLL_TIMEOUT, until},
    stack::{Stack, ffapi, free_port, http},
};

#[tokio::test]
async fn every_response_has_security_headers() {
    let stack = Stack::new().await;
    for (path, key) in
        [("/api/v1/jobs", true), ("/api/v1/jobs", false), ("/nothing", false), ("/health", false)]
    {
        let mut request = http().get(format!("{}{path}", stack.url));
        if key {
            request = request.header("x-api-key", &stack.key);
        }
        let answer = stack.send(request).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("content-security-policy", "default-src 'none'; frame-ancestors 'none'; sandbox"),
            ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
            ("cache-control", "no-store"),
            // HSTS is sent over TLS only.
            ("strict-transport-security", ""),
        ] {
            assert_eq!(answer.header(name), value, "{path} {name}");
        }
    }
    let docs = stack.send(http().get(format!("{}/docs", stack.url))).await;
    assert!(docs.header("content-security-policy").contains("script-src 'self'"), "{docs:?}");
    assert!(docs.header("content-security-policy").contains("frame-ancestors 'none'"));
}

#[tokio::test]
async fn cors_is_allowed_for_configured_origins_only() {
    let app = "https://app.example.com";
    let preflight = |stack: &Stack, origin: &str| {
        http()
            .request(Method::OPTIONS, format!("{}/api/v1/jobs", stack.url))
            .header("origin", origin)
            .header("access-control-request-method", "GET")
            .header("access-control-request-headers", "x-api-key")
    };
    let closed = Stack::new().await;
    let answer = closed.send(preflight(&closed, app)).await;
    assert_eq!(answer.header("access-control-allow-origin"), "", "{answer:?}");
    let open =
        Stack::with(&[("FFAPI_GATEWAY__CORS_ORIGINS", "[\"https://app.example.com\"]")]).await;
    let answer = open.send(preflight(&open, app)).await;
    assert_eq!(
        (answer.status, answer.header("access-control-allow-origin")),
        (StatusCode::NO_CONTENT, app)
    );
    assert!(answer.header("access-control-allow-headers").contains("content-disposition"));
    assert_eq!(answer.header("access-control-max-age"), "7200");
    let asked = open.request(Method::GET, "/jobs").header("origin", app);
    let asked = open.send(asked).await;
    assert_eq!((asked.status, asked.header("access-control-allow-origin")), (StatusCode::OK, app));
    assert!(asked.header("access-control-expose-headers").contains("x-log-position"));
    assert_eq!(asked.header("vary"), "origin");
    // Rejections stay problems that a page can read, with all their headers.
    let anonymous = http().get(format!("{}/api/v1/jobs", open.url)).header("origin", app);
    let anonymous = open.send(anonymous).await;
    assert_eq!(anonymous.status, StatusCode::UNAUTHORIZED);
    for (name, value) in [
        ("access-control-allow-origin", app),
        ("content-type", "application/problem+json"),
        ("www-authenticate", "Bearer realm=\"ffapi\""),
    ] {
        assert_eq!(anonymous.header(name), value, "{anonymous:#?}");
    }
    // A page of the API itself, or of another origin, gets an ordinary response.
    for origin in [open.url.as_str(), "https://evil.example.com"] {
        let body = serde_json::json!({ "input": "a.mp4" });
        let posted = open.request(Method::POST, "/probe").header("origin", origin).json(&body);
        let posted = open.send(posted).await;
        assert_eq!(posted.status, StatusCode::CREATED, "{posted:#?}");
        assert_eq!(posted.header("access-control-allow-origin"), "", "{posted:#?}");
    }
}

#[tokio::test]
async fn https_certificates_can_be_renewed_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    let renew = || {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        made.cert.pem()
    };
    let first = renew();
    let data = ffapi_embedded::temporary_folder().unwrap();
    let port = free_port();
    let mut up = ffapi()
        .env("FFAPI_GATEWAY__TLS__CERTIFICATE", &certificate)
        .env("FFAPI_GATEWAY__TLS__KEY", &key)
        .args(["up", "--listen", &format!("127.0.0.1:{port}"), "--data-dir"])
        .arg(data.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    http();
    let client = |pem: &str| {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        reqwest::Client::builder().tls_certs_only([root]).pool_max_idle_per_host(0).build().unwrap()
    };
    let url = format!("https://localhost:{port}/api/v1/jobs");
    let ask = async |pem: &str| {
        until(async || client(pem).get(&url).send().await, Result::is_ok).await.unwrap()
    };
    let answer = ask(&first).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        answer.headers()["strict-transport-security"],
        "max-age=31536000; includeSubDomains"
    );
    let second = renew();
    ask(&second).await;
    assert!(client(&first).get(&url).send().await.is_err(), "the old certificate is still served");
    let _ = std::process::Command::new("kill").arg(up.id().to_string()).status();
    up.wait().unwrap();
}

/// Sends raw bytes; returns the response and the time until the connection was closed.
fn send_raw(stack: &Stack, head: &str) -> (String, Duration) {
    let address = stack.url.strip_prefix("http://").unwrap();
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(POLL_TIMEOUT)).unwrap();
    connection.write_all(head.as_bytes()).unwrap();
    let (start, mut answer) = (Instant::now(), String::new());
    let _ = connection.read_to_string(&mut answer);
    (answer, start.elapsed())
}

#[tokio::test]
async fn idle_slow_and_oversized_requests_are_dropped() {
    let stack = Stack::with(&[("FFAPI_GATEWAY__IDLE_TIMEOUT", "1")]).await;
    let (answer, waited) = send_raw(&stack, "GET /api/v1/jobs HTTP/1.1\r\nHost: x\r\n");
    assert_eq!(answer, "");
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    let body = "POST /api/v1/convert HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Content-Length: 1000\r\n";
    let (_, waited) = send_raw(&stack, &format!("{body}X-API-Key: {}\r\n\r\n{{", stack.key));
    assert!(waited < Duration::from_secs(10), "{waited:?}");
    let long = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1_000_000));
    let (answer, _) = send_raw(&stack, &long);
    assert!(answer.starts_with("HTTP/1.1 4") || answer.is_empty(), "{answer}");
    let wide = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(1_000_000));
    let (answer, _) = send_raw(&stack, &wide);
    assert!(answer.starts_with("HTTP/1.1 4") || answer.is_empty(), "{answer}");
    let large = body.replace("Length: 1000", "Length: 5000000");
    let (answer, _) = send_raw(&stack, &format!("{large}X-API-Key: {}\r\n\r\n", stack.key));
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    let good = http().get(format!("{}/api/v1/jobs", stack.url)).header("x-api-key", &stack.key);
    assert_eq!(stack.send(good).await.status, StatusCode::OK);
}

#[tokio::test]
async fn the_api_supports_http_1_and_http_2() {
    let stack = Stack::new().await;
    let two = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for client in [http(), two] {
        let request = client.get(format!("{}/api/v1/jobs", stack.url));
        let answer = request.header("x-api-key", &stack.key).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{answer:?}");
    }
}

#[tokio::test]
async fn excess_idle_connections_do_not_block_other_clients() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let data = ffapi_embedded::temporary_folder().unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let mut up = std::process::Command::new("prlimit")
        .args(["--nofile=1024:1024", env!("CARGO_BIN_EXE_ffapi"), "up", "--listen", &address])
        .arg("--data-dir")
        .arg(data.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let url = format!("http://{address}");
    let ready = async || http().get(format!("{url}/health/ready")).send().await;
    until(ready, |answer| answer.as_ref().is_ok_and(|answer| answer.status().is_success()))
        .await
        .unwrap();
    let key = std::fs::read_to_string(data.path().join("admin.key")).unwrap();
    let silent: Vec<TcpStream> =
        (0..1_100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for path in ["/health", "/api/v1/jobs", "/health/ready"] {
        let request = http().get(format!("{url}{path}")).header("x-api-key", key.trim());
        let answer = request.timeout(Duration::from_secs(5)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    drop(silent);
    let _ = std::process::Command::new("kill").arg(up.id().to_string()).status();
    up.wait().unwrap();
}

#[tokio::test]
async fn api_documents_are_compressed_cacheable_and_rate_limited() {
    let stack = Stack::new().await;
    let ask = |name: &'static str, value: String| {
        http().get(format!("{}/docs", stack.url)).header(name, value).send()
    };
    let plain = ask("accept-encoding", "identity".to_owned()).await.unwrap();
    let etag = plain.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(plain.headers()["cache-control"], "public, max-age=3600");
    let whole = plain.bytes().await.unwrap().len();
    let packed = ask("accept-encoding", "gzip".to_owned()).await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    assert!(packed.bytes().await.unwrap().len() < whole / 3);
    let known = ask("if-none-match", etag).await.unwrap();
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    let mut last = known;
    for _ in 0..70 {
        last = ask("accept", "text/html".to_owned()).await.unwrap();
    }
    assert_eq!(last.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(last.headers().contains_key("retry-after"));
}

#[tokio::test]
async fn the_soft_limit_of_open_files_is_raised() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ffapi");
    let script = format!(
        "#!/bin/sh\nulimit -S -n 512\nulimit -H -n 4096\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_ffapi")
    );
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let stack = Stack::with_program(&program, &[]).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", stack.pid())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["4096", "4096", "files"]);
}
