//! Outgoing requests, against a web server and a name server that each test starts.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ffapi_storage::{Egress, EgressConfig, EgressError, NoSpace, Space};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UdpSocket},
};

/// A web server that answers every request by its path, and counts the requests.
struct Web {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Web {
    async fn new(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let (answer, count) = (Arc::new(answer), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((mut connection, _)) = listener.accept().await {
                let (answer, count) = (Arc::clone(&answer), Arc::clone(&count));
                tokio::spawn(async move {
                    let mut head = vec![0; 4_096];
                    let read = connection.read(&mut head).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&head[..read]).into_owned();
                    count.fetch_add(1, Ordering::SeqCst);
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let _ = connection.write_all(answer(path).as_bytes()).await;
                    if path.starts_with("/slow") {
                        tokio::time::sleep(Duration::from_mins(1)).await;
                    }
                });
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn redirect(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

type Answers = BTreeMap<&'static str, Vec<Vec<&'static str>>>;

/// A name server: each name has a list of answers, given one after the other; the last one repeats.
async fn names(answers: Answers) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let answers = Mutex::new(answers);
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            let reply = answer(&query[..length], &answers);
            let _ = socket.send_to(&reply, from).await;
        }
    });
    address
}

/// A minimal RFC 1035 response: one question and its addresses.
fn answer(query: &[u8], answers: &Mutex<Answers>) -> Vec<u8> {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let length = usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..=at + length]).to_lowercase());
        at += length + 1;
    }
    let wants_v6 = query[at + 2] == 28;
    let name = labels.join(".");
    let mut answers = answers.lock().unwrap();
    let all = answers.get_mut(name.as_str());
    let known = all.is_some();
    let found: Vec<IpAddr> = all.map_or(vec![], |all| {
        let next = if all.len() > 1 && !wants_v6 { all.remove(0) } else { all[0].clone() };
        next.iter().map(|text| text.parse().unwrap()).collect()
    });
    let found: Vec<_> = found.into_iter().filter(|ip| ip.is_ipv6() == wants_v6).collect();
    let mut reply = query[..2].to_vec();
    reply.extend([
        0x81,
        if known { 0x80 } else { 0x83 },
        0,
        1,
        0,
        u8::try_from(found.len()).unwrap(),
        0,
        0,
        0,
        0,
    ]);
    reply.extend(&query[12..at + 5]);
    for ip in found {
        let bytes = match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        reply.extend([0xc0, 12, 0, if wants_v6 { 28 } else { 1 }, 0, 1, 0, 0, 0, 0, 0]);
        reply.push(u8::try_from(bytes.len()).unwrap());
        reply.extend(bytes);
    }
    reply
}

fn egress(allow: &[&str], dns: Option<SocketAddr>) -> Egress {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let allow = allow.iter().map(|text| text.parse().unwrap()).collect();
    Egress::new(&EgressConfig { allow, dns, timeout: Duration::from_secs(2) }).unwrap()
}

/// A disk of so many bytes, and the most that was asked for.
struct Disk(u64, AtomicU64);

impl Disk {
    const fn of(bytes: u64) -> Self {
        Self(bytes, AtomicU64::new(0))
    }
}

impl Space for Disk {
    fn reserve(&self, bytes: u64) -> Result<(), NoSpace> {
        self.1.fetch_max(bytes, Ordering::SeqCst);
        if bytes <= self.0 { Ok(()) } else { Err(NoSpace::Now { needed: bytes }) }
    }

    fn take(&self, bytes: u64) -> Result<(), NoSpace> {
        self.reserve(bytes)
    }
}

async fn fetch(egress: &Egress, url: &str, max: u64) -> Result<String, EgressError> {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("in");
    let disk = Disk::of(u64::MAX);
    let written = egress.fetch(&url.parse().unwrap(), &to, max, &disk).await?;
    let text = std::fs::read_to_string(to).unwrap();
    assert_eq!(text.len() as u64, written);
    Ok(text)
}

#[tokio::test]
async fn what_an_operator_allows_is_fetched_by_name_and_by_address() {
    let web = Web::new(|_| ok("video")).await;
    let dns = names(BTreeMap::from([("files.test", vec![vec!["127.0.0.1"]])])).await;
    let egress = egress(&["127.0.0.1/32"], Some(dns));
    let port = web.address.port();
    for url in [format!("http://127.0.0.1:{port}/a"), format!("http://files.test:{port}/a")] {
        assert_eq!(fetch(&egress, &url, 9).await.unwrap(), "video");
    }
}

#[tokio::test]
async fn a_forbidden_address_is_not_connected_to_in_any_notation() {
    let web = Web::new(|_| ok("secret")).await;
    let dns = names(BTreeMap::from([
        ("inside.test", vec![vec!["127.0.0.1"]]),
        ("mapped.test", vec![vec!["::ffff:127.0.0.1"]]),
        ("mixed.test", vec![vec!["8.8.8.8", "127.0.0.1"]]),
        ("metadata.test", vec![vec!["169.254.169.254"]]),
        ("nat64.test", vec![vec!["64:ff9b::7f00:1"]]),
    ]))
    .await;
    let egress = egress(&[], Some(dns));
    let port = web.address.port();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "inside.test",
        "mapped.test",
        "mixed.test",
        "metadata.test",
        "nat64.test",
    ] {
        let refused = fetch(&egress, &format!("http://{host}:{port}/"), 99).await.unwrap_err();
        assert!(matches!(refused, EgressError::Closed { .. }), "{host}: {refused:?}");
        // The error must not reveal the address that a name resolves to.
        if host.rsplit('.').next() == Some("test") {
            let message = refused.to_string();
            assert!(message.starts_with(&format!("{host} is at an address that is not allowed")));
            assert!(
                message.contains("FFAPI_EGRESS__ALLOW") && !message.contains("127."),
                "{message}"
            );
        }
    }
    assert_eq!(web.requests(), 0);
    let unknown = fetch(&egress, "http://nobody.test/", 99).await.unwrap_err();
    assert!(matches!(unknown, EgressError::NoHost(_)), "{unknown:?}");
}

#[tokio::test]
async fn an_unreachable_name_server_does_not_mean_that_the_host_is_unknown() {
    // A port without a listener.
    let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let unknown = fetch(&egress(&[], Some(gone)), "http://files.test/", 99).await.unwrap_err();
    assert!(matches!(unknown, EgressError::Unreachable { .. }), "{unknown:?}");
}

#[tokio::test]
async fn the_system_resolver_reports_an_unknown_host() {
    let error = fetch(&egress(&[], None), "http://nobody.invalid/", 99).await.unwrap_err();
    // Without a working name server the result is a temporary failure.
    let is_unknown = matches!(&error, EgressError::NoHost(_));
    let is_temporary = matches!(
        &error,
        EgressError::Unreachable { why, .. } if why.contains("Temporary failure")
    );
    assert!(is_unknown || is_temporary, "{error:?}");
}

#[tokio::test]
async fn a_name_is_checked_again_when_it_resolves_to_another_address() {
    let web = Web::new(|path| if path == "/a" { redirect("/b") } else { ok("secret") }).await;
    // Allowed the first time but not the second: the redirect resolves the name again.
    let dns = names(BTreeMap::from([("rebind.test", vec![vec!["127.0.0.1"], vec!["127.0.0.2"]])]));
    let egress = egress(&["127.0.0.1/32"], Some(dns.await));
    let url = format!("http://rebind.test:{}/a", web.address.port());
    let refused = fetch(&egress, &url, 99).await.unwrap_err();
    assert!(matches!(refused, EgressError::Closed { .. }), "{refused:?}");
    assert_eq!(web.requests(), 1);
}

#[tokio::test]
async fn redirects_are_checked_like_the_first_address() {
    let inner = Web::new(|_| ok("secret")).await;
    let port = inner.address.port();
    let web = Web::new(move |path| match path {
        "/inside" => redirect(&format!("http://127.0.0.2:{port}/")),
        "/file" => redirect("file:///etc/passwd"),
        "/named" => redirect("http://user:password@127.0.0.1/"),
        "/round" => redirect("/round"),
        "/there" => redirect("/here"),
        _ => ok("video"),
    })
    .await;
    let egress = egress(&["127.0.0.1/32"], None);
    let at = |path: &str| format!("http://{}{path}", web.address);
    assert_eq!(fetch(&egress, &at("/there"), 99).await.unwrap(), "video");
    let closed = fetch(&egress, &at("/inside"), 99).await.unwrap_err();
    assert!(matches!(closed, EgressError::Closed { .. }), "{closed:?}");
    assert_eq!(inner.requests(), 0);
    for path in ["/file", "/named", "/round"] {
        let lost = fetch(&egress, &at(path), 99).await.unwrap_err();
        assert!(matches!(lost, EgressError::Redirects(_)), "{path}: {lost:?}");
    }
}

#[tokio::test]
async fn errors_do_not_reveal_the_signature_in_the_url() {
    let web = Web::new(|path| match path.split('?').next().unwrap() {
        "/gone" => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        // No announced length.
        "/endless" => format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(5_000)),
        "/slow" | "/broken" => "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx".to_owned(),
        _ => ok(&"x".repeat(100)),
    })
    .await;
    let egress = egress(&["127.0.0.1/32"], None);
    let ask = async |path: &str, max| {
        let url = format!("http://{}{path}?signature=hush", web.address);
        let error = fetch(&egress, &url, max).await.unwrap_err();
        assert!(!error.to_string().contains("hush"), "{error}");
        error
    };
    assert!(matches!(ask("/large", 99).await, EgressError::TooLarge { max: 99, .. }));
    assert!(matches!(ask("/endless", 99).await, EgressError::TooLarge { .. }));
    assert!(matches!(ask("/gone", 99).await, EgressError::Refused { .. }));
    assert!(matches!(ask("/broken", 99).await, EgressError::Unreachable { .. }));
    assert!(matches!(ask("/slow", 99).await, EgressError::Unreachable { .. }));
}

#[tokio::test]
async fn no_byte_is_written_that_there_is_no_space_for() {
    let chunked = |body: &str| {
        let part = format!("{:x}\r\n{body}\r\n", body.len());
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}", part.repeat(3))
    };
    let web = Web::new(move |path| match path {
        "/stated" => ok("video"),
        // It does not end.
        _ => chunked("video"),
    })
    .await;
    let egress = egress(&["127.0.0.1/32"], None);
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("in");
    let fetch = async |path: &str, disk: &Disk| {
        let url = format!("http://{}{path}", web.address).parse().unwrap();
        let fetched = egress.fetch(&url, &to, u64::MAX, disk).await;
        assert!(matches!(fetched, Err(EgressError::NoSpace(NoSpace::Now { .. }))), "{fetched:?}");
    };
    fetch("/stated", &Disk::of(4)).await;
    assert!(!to.exists(), "a stated length is refused at once");
    let disk = Disk::of(12);
    fetch("/slow", &disk).await;
    assert!(disk.1.load(Ordering::SeqCst) > 12);
    assert!(to.metadata().unwrap().len() <= 12);
}
