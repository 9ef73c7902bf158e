use ffapi_nats::{Actor, Codec, Decision, Vault};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::harness::TestLog;

/// A personal value as the domain serializes it: extension 1 around its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename = "_ExtStruct")]
struct Personal((i8, Bytes));

#[derive(Debug, Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Visitor)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TestEvent {
    name: Personal,
    size: u64,
}

const SECRET: &[u8] = b"holiday-with-grandma.mp4";

fn decision() -> Decision<TestEvent> {
    Decision {
        command_id: Uuid::now_v7(),
        correlation_id: Uuid::now_v7(),
        causation: None,
        actor: Actor::Key("key_1".to_owned()),
        tenant: "acme".to_owned(),
        at: 1,
        traceparent: None,
        address: None,
        schema: 1,
        events: vec![TestEvent { name: Personal((1, Bytes(SECRET.to_vec()))), size: 7 }],
        stands: None,
    }
}

#[tokio::test]
async fn personal_fields_are_encrypted_in_the_log_and_decrypted_by_the_codec() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let decision = decision();
    let bytes = codec.encode(&decision).await.unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET));
    assert_eq!(codec.decode::<TestEvent>(&bytes).await.unwrap(), decision);
    // Another process with the same master key can decrypt it.
    let other = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    assert_eq!(other.decode::<TestEvent>(&bytes).await.unwrap(), decision);
}

#[tokio::test]
async fn erasing_a_tenant_removes_its_personal_fields_and_nothing_else() {
    let test = TestLog::new().await;
    let vault = Vault::open(&test.nats, &[7; 32]).await.unwrap();
    let codec = Codec::new(vault.clone());
    let bytes = codec.encode(&decision()).await.unwrap();
    vault.erase("acme").await.unwrap();
    let read = codec.decode::<TestEvent>(&bytes).await.unwrap();
    assert_eq!(read.events[0].name, Personal((3, Bytes(vec![]))));
    assert_eq!(read.events[0].size, 7);
    // A process that starts later reads the same.
    let later = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    assert_eq!(later.decode::<TestEvent>(&bytes).await.unwrap(), read);
}

#[tokio::test]
async fn a_reopened_tenant_reads_new_fields_but_none_from_before_the_erasure() {
    let test = TestLog::new().await;
    let vault = Vault::open(&test.nats, &[7; 32]).await.unwrap();
    let codec = Codec::new(vault.clone());
    // Each of these caches the data key for a minute.
    let before = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let between = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let is_erased =
        |read: &Decision<TestEvent>| read.events[0].name == Personal((3, Bytes(vec![])));
    let mut older = vec![codec.encode(&decision()).await.unwrap()];
    before.decode::<TestEvent>(&older[0]).await.unwrap();
    for round in 0..3 {
        vault.erase("acme").await.unwrap();
        assert!(is_erased(&between.decode::<TestEvent>(&older[0]).await.unwrap()));
        vault.reopen("acme").await.unwrap();
        let newer = decision();
        let bytes = codec.encode(&newer).await.unwrap();
        let later = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
        for codec in [&codec, &before, &between, &later] {
            assert_eq!(codec.decode::<TestEvent>(&bytes).await.unwrap(), newer, "{round}");
            for bytes in &older {
                assert!(is_erased(&codec.decode::<TestEvent>(bytes).await.unwrap()), "{round}");
            }
        }
        older.push(bytes);
    }
}

#[tokio::test]
async fn reopening_an_open_tenant_changes_nothing() {
    let test = TestLog::new().await;
    let vault = Vault::open(&test.nats, &[7; 32]).await.unwrap();
    let codec = Codec::new(vault.clone());
    let decision = decision();
    let bytes = codec.encode(&decision).await.unwrap();
    vault.reopen("acme").await.unwrap();
    assert_eq!(codec.decode::<TestEvent>(&bytes).await.unwrap(), decision);
}

#[tokio::test]
async fn a_modified_ciphertext_is_rejected() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let mut bytes = codec.encode(&decision()).await.unwrap().to_vec();
    let size = bytes.windows(4).position(|window| window == b"size").unwrap();
    bytes[size - 3] ^= 1;
    assert!(codec.decode::<TestEvent>(&bytes).await.is_err());
}

#[tokio::test]
async fn another_master_key_decrypts_nothing() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let bytes = codec.encode(&decision()).await.unwrap();
    let other = Codec::new(Vault::open(&test.nats, &[8; 32]).await.unwrap());
    assert!(other.decode::<TestEvent>(&bytes).await.is_err());
}

/// An encoded decision whose field `size` may have a wrong type.
fn encoded_decision(tenant: &str, size: &rmpv::Value) -> Vec<u8> {
    let text = |text: &str| rmpv::Value::from(text);
    let id = rmpv::Value::Binary(Uuid::nil().as_bytes().to_vec());
    let event = rmpv::Value::Map(vec![(text("size"), size.clone())]);
    let decision = rmpv::Value::Map(vec![
        (text("command_id"), id.clone()),
        (text("correlation_id"), id),
        (
            text("actor"),
            rmpv::Value::Map(vec![(text("kind"), text("key")), (text("id"), text("k"))]),
        ),
        (text("tenant"), text(tenant)),
        (text("at"), rmpv::Value::from(1)),
        (text("events"), rmpv::Value::Array(vec![event])),
    ]);
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &decision).unwrap();
    bytes
}

#[tokio::test]
async fn decode_errors_do_not_quote_the_contents() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[1; 32]).await.unwrap());
    let secret = std::str::from_utf8(SECRET).unwrap();
    for size in [rmpv::Value::from(secret), rmpv::Value::from(true)] {
        let error = codec.decode::<TestEvent>(&encoded_decision("acme", &size)).await.unwrap_err();
        assert!(!error.to_string().contains(secret), "{error}");
        assert!(error.to_string().starts_with("a decision cannot be read: "), "{error}");
    }
}

#[tokio::test]
async fn an_invalid_tenant_name_is_a_decode_error_and_no_outage() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[1; 32]).await.unwrap());
    for tenant in ["", "a b", "a\0b", "a.b", "*", &"a".repeat(65)] {
        let error =
            codec.decode::<TestEvent>(&encoded_decision(tenant, &rmpv::Value::from(1))).await;
        assert!(matches!(error, Err(ffapi_nats::CodecError::Unreadable(_))), "{tenant}: {error:?}");
    }
}
