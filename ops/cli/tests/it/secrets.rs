//! Secret providers, and rotation of passwords at run time.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use ffapi_embedded::{NatsServer, Postgres};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    nats_permissions::users,
    operator, polling,
    stack::{Stack, ffapi, free_port, http},
};

/// One received request.
pub(crate) struct ReceivedRequest {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// A server with scripted responses.
pub(crate) fn provider(
    answer: impl Fn(&ReceivedRequest) -> (u16, Value) + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let connection = connection.unwrap();
            let mut reader = BufReader::new(&connection);
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut headers = BTreeMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                let Some((name, value)) = line.trim().split_once(": ") else { break };
                headers.insert(name.to_lowercase(), value.to_owned());
            }
            let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let received =
                ReceivedRequest { path, headers, body: String::from_utf8(body).unwrap() };
            let (status, body) = answer(&received);
            let body = body.to_string();
            let head = format!("HTTP/1.1 {status} -\r\nConnection: close\r\nContent-Length: ");
            (&connection)
                .write_all(format!("{head}{}\r\n\r\n{body}", body.len()).as_bytes())
                .unwrap();
        }
    });
    format!("http://{address}")
}

/// Runs `ffapi config print` with these settings: whether it succeeded, and its output.
fn print(settings: &[(&str, &str)]) -> (bool, String) {
    let done = ffapi().envs(settings.iter().copied()).args(["config", "print"]).output().unwrap();
    let printed = if done.status.success() { done.stdout } else { done.stderr };
    (done.status.success(), String::from_utf8(printed).unwrap())
}

#[test]
fn a_setting_can_reference_a_secret_in_vault() {
    let vault = provider(|received| {
        let token = received.headers.get("x-vault-token").map(String::as_str);
        match (token, received.path.as_str()) {
            (Some("s.token"), "/v1/secret/data/ffapi") => {
                let data = json!({ "nats": "nats://u:hush@nats.example.com:4222", "pepper": "ab" });
                (200, json!({ "data": { "data": data, "metadata": { "version": 3 } } }))
            }
            (Some("s.token"), "/v1/kv/ffapi") => {
                (200, json!({ "data": { "nats": "nats://u:hush@older.example.com:4222" } }))
            }
            (Some("s.token"), _) => (404, json!({ "errors": [] })),
            _ => (403, json!({ "errors": ["permission denied"] })),
        }
    });
    let ask = |reference: &str, token: &str| {
        print(&[("FFAPI_NATS__URL", reference), ("VAULT_ADDR", &vault), ("VAULT_TOKEN", token)])
    };
    let (success, printed) = ask("vault:secret/data/ffapi#nats", "s.token");
    assert!(
        success && printed.contains("nats.example.com") && !printed.contains("hush"),
        "{printed}"
    );
    let (success, printed) = ask("vault:kv/ffapi#nats", "s.token");
    assert!(success && printed.contains("older.example.com"), "{printed}");
    for (reference, token, why) in [
        ("vault:secret/data/ffapi#nats", "s.wrong", "403"),
        ("vault:secret/data/other#nats", "s.token", "404"),
        ("vault:secret/data/ffapi#salt", "s.token", "does not reference a string"),
    ] {
        let (success, printed) = ask(reference, token);
        assert!(!success && printed.contains("nats.url") && printed.contains(why), "{printed}");
        assert!(!printed.contains(token), "{printed}");
    }
    let (success, printed) = print(&[("FFAPI_NATS__URL", "vault:secret/data/ffapi#nats")]);
    assert!(!success && printed.contains("VAULT_TOKEN is not set"), "{printed}");
}

#[test]
fn the_credentials_of_stores_can_be_references_and_are_never_printed() {
    let vault = provider(|_| (200, json!({ "data": { "id": "AKIAHUSH", "key": "hush" } })));
    let (success, printed) = print(&[
        ("FFAPI_STORES__MEDIA__URL", "s3://media"),
        ("FFAPI_STORES__MEDIA__ACCESS_KEY_ID", "vault:kv/s3#id"),
        ("FFAPI_STORES__MEDIA__SECRET_ACCESS_KEY", "vault:kv/s3#key"),
        ("VAULT_ADDR", &vault),
        ("VAULT_TOKEN", "s.token"),
    ]);
    assert!(success && printed.contains("s3://media"), "{printed}");
    assert!(!printed.to_lowercase().contains("hush"), "{printed}");
    let (success, printed) = print(&[
        ("FFAPI_STORES__MEDIA__URL", "s3://media"),
        ("FFAPI_STORES__MEDIA__SECRET_ACCESS_KEY", "vault:kv/s3#none"),
        ("VAULT_ADDR", &vault),
        ("VAULT_TOKEN", "s.token"),
    ]);
    assert!(!success && printed.contains("stores.media.secret_access_key"), "{printed}");
}

#[test]
fn a_secret_that_several_settings_reference_is_fetched_once() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let vault = provider(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let data = json!({ "nats": "nats://n.example.com", "postgres": "postgres:///p_example" });
        (200, json!({ "data": { "data": data, "metadata": {} } }))
    });
    let (success, printed) = print(&[
        ("FFAPI_NATS__URL", "vault:secret/data/ffapi#nats"),
        ("FFAPI_POSTGRES__URL", "vault:secret/data/ffapi#postgres"),
        ("VAULT_ADDR", &vault),
        ("VAULT_TOKEN", "t"),
    ]);
    assert!(
        success && printed.contains("n.example.com") && printed.contains("p_example"),
        "{printed}"
    );
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The AWS Signature Version 4 of a request, computed independently.
fn signature(received: &ReceivedRequest, secret: &str) -> Option<String> {
    let authorization = received.headers.get("authorization")?;
    let part = |name: &str| authorization.split(&format!("{name}=")).nth(1)?.split(',').next();
    let (scope, names) = (part("Credential")?.split_once('/')?.1, part("SignedHeaders")?);
    let line = |name: &str| format!("{name}:{}\n", received.headers[name]);
    let headers = names.split(';').map(line).collect::<Vec<String>>().concat();
    let body = hex::encode(Sha256::digest(&received.body));
    let canonical = format!("POST\n{}\n\n{headers}\n{names}\n{body}", received.path);
    let hashed = hex::encode(Sha256::digest(canonical));
    let date = &received.headers["x-amz-date"];
    let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashed}");
    let first = hmac(format!("AWS4{secret}").as_bytes(), scope.split('/').next()?);
    let key = scope.split('/').skip(1).fold(first, |key, part| hmac(&key, part));
    Some(hex::encode(hmac(&key, &to_sign))).filter(|ours| part("Signature") == Some(ours))
}

#[test]
fn a_setting_can_reference_a_secret_at_aws() {
    let aws = provider(|received| {
        let target = received.headers.get("x-amz-target").map(String::as_str);
        if target != Some("secretsmanager.GetSecretValue")
            || signature(received, "hushhush").is_none()
        {
            return (400, json!({ "__type": "InvalidSignatureException" }));
        }
        let wanted: Value = serde_json::from_str(&received.body).unwrap();
        let text = match wanted["SecretId"].as_str() {
            Some("prod/ffapi") => {
                json!({ "nats": "nats://u:hush@aws.example.com:4222" }).to_string()
            }
            Some("prod/plain") => "nats://u:hush@plain.example.com:4222".to_owned(),
            _ => return (400, json!({ "__type": "ResourceNotFoundException" })),
        };
        (200, json!({ "Name": wanted["SecretId"], "SecretString": text }))
    });
    let ask = |reference: &str, secret: &str| {
        print(&[
            ("FFAPI_NATS__URL", reference),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ENDPOINT_URL", &aws),
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", secret),
        ])
    };
    let (success, printed) = ask("aws:prod/ffapi#nats", "hushhush");
    assert!(
        success && printed.contains("aws.example.com") && !printed.contains("hush@"),
        "{printed}"
    );
    let (success, printed) = ask("aws:prod/plain", "hushhush");
    assert!(success && printed.contains("plain.example.com"), "{printed}");
    let (success, printed) = ask("aws:prod/ffapi#nats", "another");
    assert!(!success && printed.contains("400"), "{printed}");
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Requests the jobs from the gateway until the status is this one.
async fn until(url: &str, key: &str, wanted: StatusCode) {
    let ask = async || {
        let request = http().get(format!("{url}/api/v1/jobs")).header("x-api-key", key);
        request.send().await.map(|answer| answer.status())
    };
    polling::until(ask, |status| status.as_ref().is_ok_and(|status| *status == wanted))
        .await
        .unwrap();
}

#[tokio::test]
async fn passwords_of_nats_and_postgres_change_without_a_restart() {
    let folder = ffapi_embedded::temporary_folder().unwrap();
    let at = folder.path().canonicalize().unwrap();
    let server = NatsServer::start_with(&at.join("nats"), &users()).unwrap();
    let postgres = Postgres::start(&at).unwrap();
    let sql = |statement: &str| {
        let url = postgres.url();
        let arguments = [url.as_str(), "-v", "ON_ERROR_STOP=1", "-c", statement];
        let done = Command::new("psql").args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    // A user of Postgres that needs a password.
    let data = std::fs::read_to_string(at.join("postgres.location")).unwrap();
    let hba = Path::new(data.trim()).join("pg_hba.conf");
    let rules = std::fs::read_to_string(&hba).unwrap();
    std::fs::write(&hba, format!("local all svc scram-sha-256\n{rules}")).unwrap();
    sql("CREATE ROLE svc LOGIN SUPERUSER PASSWORD 'old'");
    sql("SELECT pg_reload_conf()");
    let host = postgres.url().split("host=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let file = |name: &str, text: String| {
        std::fs::write(at.join(name), text).unwrap();
        at.join(name).display().to_string()
    };
    let to_postgres = |password: &str| {
        let url = format!("postgres:///postgres?host={host}&user=svc&password={password}");
        file("postgres.url", url)
    };
    let to_nats = |password: &str| {
        let who = format!("nats://gateway:{password}@");
        file("nats.url", server.url().replace("nats://", &who))
    };
    let listen = format!("127.0.0.1:{}", free_port());
    let mut settings = BTreeMap::from([
        ("FFAPI_POSTGRES__URL", postgres.url()),
        ("FFAPI_NATS__URL", server.url().replace("nats://", "nats://operator:pw-operator@")),
        ("FFAPI_SECRETS__MASTER_KEY", "1".repeat(64)),
        ("FFAPI_SECRETS__PEPPER", "2".repeat(64)),
        ("FFAPI_SECRETS__SIGNING_KEY", "3".repeat(64)),
        ("FFAPI_STORAGE__ROOT", at.join("storage").display().to_string()),
        ("FFAPI_GATEWAY__LISTEN", listen.clone()),
        ("FFAPI_ROTATION__EVERY", "1".to_owned()),
    ]);
    let operator = |arguments: &[&str]| {
        let done = ffapi().envs(&settings).args(arguments).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    };
    operator(&["topology", "apply"]);
    operator(&["migrate"]);
    let key = operator(&["keys", "create", "--tenant", "acme", "--tier", "enterprise"]);
    settings.remove("FFAPI_POSTGRES__URL");
    settings.remove("FFAPI_NATS__URL");
    settings.insert("FFAPI_POSTGRES__URL_FILE", to_postgres("old"));
    settings.insert("FFAPI_NATS__URL_FILE", to_nats("pw-gateway"));
    let mut gateway = ffapi();
    let gateway = gateway.envs(&settings).arg("gateway").stderr(Stdio::null()).spawn().unwrap();
    let _gateway = Process(gateway);
    let url = format!("http://{listen}");
    until(&url, &key, StatusCode::OK).await;

    sql("ALTER ROLE svc PASSWORD 'new'");
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'svc'");
    until(&url, &key, StatusCode::SERVICE_UNAVAILABLE).await;
    to_postgres("new");
    until(&url, &key, StatusCode::OK).await;

    let conf = at.join("nats/nats.conf");
    let rules = std::fs::read_to_string(&conf).unwrap();
    std::fs::write(&conf, rules.replace("\"pw-gateway\"", "\"pw-newer\"")).unwrap();
    let hangup = Command::new("kill").args(["-HUP", &server.pid().to_string()]).status().unwrap();
    assert!(hangup.success());
    until(&url, &key, StatusCode::SERVICE_UNAVAILABLE).await;
    to_nats("pw-newer");
    until(&url, &key, StatusCode::OK).await;
}

#[tokio::test]
async fn a_role_reads_only_the_secrets_that_it_needs() {
    const NOT_NEEDED: [(&str, &[&str]); 4] = [
        ("worker", &["PEPPER", "SIGNING_KEY", "VERIFYING_KEY"]),
        ("conductor", &["PEPPER", "SIGNING_KEY", "VERIFYING_KEY"]),
        ("projector", &["PEPPER", "VERIFYING_KEY"]),
        ("gateway", &["SIGNING_KEY"]),
    ];
    let stack = Stack::new().await;
    let (success, verifying) = operator::run(&stack, &["audit", "key"]);
    assert!(success, "{verifying}");
    let listen = format!("127.0.0.1:{}", free_port());
    let mut settings: BTreeMap<String, String> = operator::settings(&stack).into_iter().collect();
    settings.insert("FFAPI_SECRETS__VERIFYING_KEY".to_owned(), verifying.trim().to_owned());
    settings.insert("FFAPI_GATEWAY__LISTEN".to_owned(), listen.clone());
    // A reference that cannot be resolved: a role that needs it does not start.
    let nowhere = "vault:secret/data/ffapi#nothing".to_owned();
    let mut processes = Vec::new();
    for (role, names) in NOT_NEEDED {
        let mut given = settings.clone();
        for name in names {
            given.insert(format!("FFAPI_SECRETS__{name}"), nowhere.clone());
        }
        let mut command = ffapi();
        let process = command.envs(given).env_remove("VAULT_ADDR").arg(role).spawn().unwrap();
        processes.push(Process(process));
    }
    let ready = async || http().get(format!("http://{listen}/health/ready")).send().await;
    let there = |answer: &Result<reqwest::Response, _>| {
        answer.as_ref().is_ok_and(|answer| answer.status().is_success())
    };
    polling::until(ready, there).await.unwrap();
    until(&format!("http://{listen}"), &stack.key, StatusCode::OK).await;
    let two = |answer: &crate::stack::Answer| {
        answer.json["data"].as_array().is_some_and(|workers| workers.len() == 2)
    };
    stack.poll("/admin/workers", two).await;
    for Process(process) in &mut processes {
        assert!(process.try_wait().unwrap().is_none(), "the process ended");
    }
    // A missing secret that it needs is reported by name.
    let mut command = ffapi();
    let done = command.envs(&settings).env("FFAPI_SECRETS__PEPPER", "").arg("gateway").output();
    let printed = String::from_utf8(done.unwrap().stderr).unwrap();
    assert!(printed.contains("FFAPI_SECRETS__PEPPER"), "{printed}");
}
