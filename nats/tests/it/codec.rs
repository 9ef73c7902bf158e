use ffapi_nats::{Actor, Codec, Decision, Message, Vault};
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
    let actor = Actor::Key("key_1".to_owned());
    let events = vec![TestEvent { name: Personal((1, Bytes(SECRET.to_vec()))), size: 7 }];
    let mut decision = Decision::new(Uuid::now_v7(), actor, "acme", 1, events);
    decision.correlation_id = Uuid::now_v7();
    decision
}

#[tokio::test]
async fn personal_fields_are_encrypted_in_the_log_and_decrypted_by_the_codec() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let decision = decision();
    let bytes = codec.encode(&decision).await.unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET));
    assert_eq!(codec.read::<TestEvent>(&message(&bytes)).await.unwrap(), decision);
    // Another process with the same master key can decrypt it.
    let other = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    assert_eq!(other.read::<TestEvent>(&message(&bytes)).await.unwrap(), decision);
}

#[tokio::test]
async fn erasing_a_tenant_removes_its_personal_fields_and_nothing_else() {
    let test = TestLog::new().await;
    let vault = Vault::open(&test.nats, &[7; 32]).await.unwrap();
    let codec = Codec::new(vault.clone());
    let bytes = codec.encode(&decision()).await.unwrap();
    vault.erase("acme").await.unwrap();
    let read = codec.read::<TestEvent>(&message(&bytes)).await.unwrap();
    assert_eq!(read.events[0].name, Personal((3, Bytes(vec![]))));
    assert_eq!(read.events[0].size, 7);
    // A process that starts later reads the same.
    let later = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    assert_eq!(later.read::<TestEvent>(&message(&bytes)).await.unwrap(), read);
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
    before.read::<TestEvent>(&message(&older[0])).await.unwrap();
    for round in 0..3 {
        vault.erase("acme").await.unwrap();
        assert!(is_erased(&between.read::<TestEvent>(&message(&older[0])).await.unwrap()));
        vault.reopen("acme").await.unwrap();
        let newer = decision();
        let bytes = codec.encode(&newer).await.unwrap();
        let later = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
        for codec in [&codec, &before, &between, &later] {
            assert_eq!(codec.read::<TestEvent>(&message(&bytes)).await.unwrap(), newer, "{round}");
            for bytes in &older {
                assert!(
                    is_erased(&codec.read::<TestEvent>(&message(bytes)).await.unwrap()),
                    "{round}"
                );
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
    assert_eq!(codec.read::<TestEvent>(&message(&bytes)).await.unwrap(), decision);
}

#[tokio::test]
async fn a_modified_ciphertext_is_rejected() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let mut bytes = codec.encode(&decision()).await.unwrap().to_vec();
    let size = bytes.windows(4).position(|window| window == b"size").unwrap();
    bytes[size - 3] ^= 1;
    assert!(codec.read::<TestEvent>(&message(&bytes)).await.is_err());
}

#[tokio::test]
async fn another_master_key_decrypts_nothing() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let bytes = codec.encode(&decision()).await.unwrap();
    let other = Codec::new(Vault::open(&test.nats, &[8; 32]).await.unwrap());
    assert!(other.read::<TestEvent>(&message(&bytes)).await.is_err());
}

/// A message with these bytes.
fn message(bytes: &[u8]) -> Message {
    let payload = bytes.to_vec().into();
    Message { sequence: 1, subject: "ev.test.acme.1".to_owned(), payload, pending: 0 }
}

/// An event of any of two categories.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AnyTestEvent {
    Test(TestEvent),
    Other(u64),
}

#[tokio::test]
async fn a_decision_of_any_category_is_read_by_its_subject() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    let decision = decision();
    let own = message(&codec.encode(&decision).await.unwrap());
    let read = codec.read_any::<AnyTestEvent>(&own).await.unwrap();
    assert_eq!(read.command_id, decision.command_id);
    assert_eq!(read.events, [AnyTestEvent::Test(decision.events[0].clone())]);
    for subject in ["ev.other.acme.1", "ev.unknown.acme.1", "test"] {
        let foreign = Message { subject: subject.to_owned(), ..own.clone() };
        let read = codec.read_any::<AnyTestEvent>(&foreign).await;
        assert_eq!(read.is_ok(), subject == "test", "{subject}");
    }
}

#[tokio::test]
async fn a_decision_in_a_newer_format_is_unreadable() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[7; 32]).await.unwrap());
    for (schema, readable) in [(None, true), (Some(0), true), (Some(1), true), (Some(2), false)] {
        let event = rmpv::Value::Map(vec![]);
        let mut fields = vec![
            ("command_id", rmpv::Value::Binary(Uuid::nil().as_bytes().to_vec())),
            ("correlation_id", rmpv::Value::Binary(Uuid::nil().as_bytes().to_vec())),
            (
                "actor",
                rmpv::Value::Map(vec![("kind".into(), "key".into()), ("id".into(), "k".into())]),
            ),
            ("tenant", "acme".into()),
            ("at", 1.into()),
            ("events", rmpv::Value::Array(vec![event])),
        ];
        fields.extend(schema.map(|schema: u32| ("schema", schema.into())));
        let fields = fields.into_iter().map(|(name, value)| (name.into(), value)).collect();
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &rmpv::Value::Map(fields)).unwrap();
        let read = codec.read::<serde::de::IgnoredAny>(&message(&bytes)).await;
        assert_eq!(read.is_ok(), readable, "{schema:?}: {read:?}");
        if let Err(error) = read {
            assert!(error.to_string().contains("version 2"), "{error}");
        }
    }
}

/// A message whose event may have a field `size` of a wrong type.
fn encoded_decision(tenant: &str, size: &rmpv::Value) -> Message {
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
    message(&bytes)
}

#[tokio::test]
async fn decode_errors_do_not_quote_the_contents() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[1; 32]).await.unwrap());
    let secret = std::str::from_utf8(SECRET).unwrap();
    for size in [rmpv::Value::from(secret), rmpv::Value::from(true)] {
        let error = codec.read::<TestEvent>(&encoded_decision("acme", &size)).await.unwrap_err();
        assert!(!error.to_string().contains(secret), "{error}");
        assert!(error.to_string().starts_with("a decision cannot be read: "), "{error}");
    }
}

#[tokio::test]
async fn an_invalid_tenant_name_is_a_decode_error_and_no_outage() {
    let test = TestLog::new().await;
    let codec = Codec::new(Vault::open(&test.nats, &[1; 32]).await.unwrap());
    for tenant in ["", "a b", "a\0b", "a.b", "*", &"a".repeat(65)] {
        let error = codec.read::<TestEvent>(&encoded_decision(tenant, &rmpv::Value::from(1))).await;
        assert!(matches!(error, Err(ffapi_nats::CodecError::Unreadable(_))), "{tenant}: {error:?}");
    }
}
