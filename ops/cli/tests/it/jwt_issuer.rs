//! Tokens of an external issuer: their validation, and the mapping of claims to scopes.

use std::sync::{Arc, Mutex};

use jsonwebtoken::{
    Algorithm, EncodingKey, Header, encode,
    jwk::{Jwk, JwkSet},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    polling::until,
    stack::{Answer, Stack, http},
};

/// A key of the issuer: the signing key, and the published JWK.
fn pair(kid: &str) -> (EncodingKey, Jwk) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some(kid.to_owned());
    (key, jwk)
}

/// Publishes keys, and counts requests.
async fn publish(keys: Arc<Mutex<(Vec<Jwk>, usize)>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut head = vec![0; 4_096];
            let _ = connection.read(&mut head).await;
            let body = {
                let mut keys = keys.lock().unwrap();
                keys.1 += 1;
                serde_json::to_string(&JwkSet { keys: keys.0.clone() }).unwrap()
            };
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close";
            let answer = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = connection.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/jwks")
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example.com", "aud": "ffapi", "sub": "ada", "exp": now() + 600,
        "org": "Acme Inc", "permissions": ["media:run", "something:else"],
    })
}

fn signed(kid: &str, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::ES256) };
    encode(&header, claims, key).unwrap()
}

async fn ask(stack: &Stack, token: &str, path: &str) -> Answer {
    let request = http().get(format!("{}/api/v1{path}", stack.url)).bearer_auth(token);
    stack.send(request).await
}

#[tokio::test]
async fn issuer_tokens_are_validated_and_mapped() {
    let ((first, first_jwk), (second, second_jwk)) = (pair("one"), pair("two"));
    let keys = Arc::new(Mutex::new((vec![first_jwk], 0)));
    let jwks = publish(Arc::clone(&keys)).await;
    let stack = Stack::with(&[
        ("FFAPI_GATEWAY__ISSUER__ISSUER", "https://id.example.com"),
        ("FFAPI_GATEWAY__ISSUER__AUDIENCE", "ffapi"),
        ("FFAPI_GATEWAY__ISSUER__JWKS", &jwks),
        ("FFAPI_GATEWAY__ISSUER__TENANT_CLAIM", "org"),
        ("FFAPI_GATEWAY__ISSUER__TENANTS", "{\"Acme Inc\" = \"acme\"}"),
        ("FFAPI_GATEWAY__ISSUER__SCOPE_CLAIM", "permissions"),
        ("FFAPI_GATEWAY__ISSUER__SCOPES", "{\"media:run\" = [\"jobs:read\", \"jobs:write\"]}"),
        ("FFAPI_GATEWAY__ANONYMOUS_PER_MINUTE", "1000"),
    ])
    .await;
    let token = signed("one", &first, &claims());
    let jobs = ask(&stack, &token, "/jobs").await;
    assert_eq!(jobs.status, StatusCode::OK, "{jobs:#?}");
    // The claims determine tenant and scopes by the configured mapping.
    assert_eq!(ask(&stack, &token, "/accounts/acme").await.status, StatusCode::OK);
    assert_eq!(ask(&stack, &token, "/accounts/default").await.status, StatusCode::NOT_FOUND);
    assert_eq!(ask(&stack, &token, "/api-keys").await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&stack, &token, "/admin/workers").await.status, StatusCode::FORBIDDEN);
    for _ in 0..20 {
        ask(&stack, &token, "/jobs").await;
    }
    assert_eq!(keys.lock().unwrap().1, 1, "its keys are asked for once");

    let with = |field: &str, value: Value| {
        let mut claims = claims();
        claims[field] = value;
        claims
    };
    for bad in [
        with("iss", json!("https://evil.example.com")),
        with("aud", json!("somebody else")),
        with("exp", json!(now() - 120)),
        with("nbf", json!(now() + 600)),
        with("org", json!("No Such Org!")),
        with("org", Value::Null),
        with("sub", Value::Null),
    ] {
        let answer = ask(&stack, &signed("one", &first, &bad), "/jobs").await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{bad}: {answer:#?}");
    }
    // A different key with a known id; a symmetric signature; no signature.
    let forged = signed("one", &second, &claims());
    let shared = encode(&Header::default(), &claims(), &EncodingKey::from_secret(b"x")).unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let none = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    for token in [forged, shared, none, format!("{}.{}.", parts[0], parts[1])] {
        assert_eq!(ask(&stack, &token, "/jobs").await.status, StatusCode::UNAUTHORIZED);
    }
    let nothing =
        ask(&stack, &signed("one", &first, &with("permissions", json!([]))), "/jobs").await;
    assert_eq!(nothing.status, StatusCode::FORBIDDEN);

    // A token with an unknown key id refreshes the issuer's keys.
    keys.lock().unwrap().0 = vec![second_jwk];
    let newer = signed("two", &second, &claims());
    let known = async || ask(&stack, &newer, "/jobs").await;
    until(known, |answer| answer.status == StatusCode::OK).await;
    assert_eq!(ask(&stack, &token, "/jobs").await.status, StatusCode::UNAUTHORIZED);
    // API keys are still valid, and the allowed addresses of an account apply to tokens as well.
    assert_eq!(stack.get("/jobs").await.status, StatusCode::OK);
    let closed = json!({ "allowed_ips": ["192.0.2.0/24"] });
    stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&closed)).await;
    assert_eq!(ask(&stack, &newer, "/jobs").await.status, StatusCode::FORBIDDEN);
    // Tokens for an erased account are rejected.
    let open = json!({ "allowed_ips": [] });
    stack.send(stack.request(Method::PATCH, "/accounts/acme").json(&open)).await;
    assert_eq!(ask(&stack, &newer, "/jobs").await.status, StatusCode::OK);
    stack.send(stack.request(Method::DELETE, "/accounts/acme")).await;
    let gone = ask(&stack, &newer, "/jobs").await;
    assert_eq!(gone.status, StatusCode::GONE, "{gone:#?}");
}
