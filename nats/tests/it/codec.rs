use ffapi_nats::{Actor, Codec, Decision, Vault};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::harness::Bed;

/// A personal value as the domain writes it: extension 1 around its bytes.
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
struct Named {
    name: Personal,
    size: u64,
}

const SECRET: &[u8] = b"holiday-with-grandma.mp4";

fn decision() -> Decision<Named> {
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
        events: vec![Named { name: Personal((1, Bytes(SECRET.to_vec()))), size: 7 }],
        stands: None,
    }
}

#[tokio::test]
async fn personal_fields_are_unreadable_in_the_log_and_readable_to_us() {
    let bed = Bed::new().await;
    let codec = Codec::new(Vault::open(&bed.nats, &[7; 32]).await.unwrap());
    let decision = decision();
    let bytes = codec.encode(&decision).await.unwrap();
    assert!(!bytes.windows(SECRET.len()).any(|window| window == SECRET));
    assert_eq!(codec.decode::<Named>(&bytes).await.unwrap(), decision);
    // Another process with the same master key reads it too.
    let other = Codec::new(Vault::open(&bed.nats, &[7; 32]).await.unwrap());
    assert_eq!(other.decode::<Named>(&bytes).await.unwrap(), decision);
}

#[tokio::test]
async fn an_erased_tenants_fields_are_gone_and_the_rest_stays() {
    let bed = Bed::new().await;
    let vault = Vault::open(&bed.nats, &[7; 32]).await.unwrap();
    let codec = Codec::new(vault.clone());
    let bytes = codec.encode(&decision()).await.unwrap();
    vault.erase("acme").await.unwrap();
    let read = codec.decode::<Named>(&bytes).await.unwrap();
    assert_eq!(read.events[0].name, Personal((3, Bytes(vec![]))));
    assert_eq!(read.events[0].size, 7);
    // A process that starts later agrees.
    let later = Codec::new(Vault::open(&bed.nats, &[7; 32]).await.unwrap());
    assert_eq!(later.decode::<Named>(&bytes).await.unwrap(), read);
}

#[tokio::test]
async fn a_tenant_that_is_opened_anew_reads_what_it_writes_from_then_on_and_nothing_older() {
    let bed = Bed::new().await;
    let vault = Vault::open(&bed.nats, &[7; 32]).await.unwrap();
    let codec = Codec::new(vault.clone());
    // Each of these believes what it knows of the key for a minute.
    let before = Codec::new(Vault::open(&bed.nats, &[7; 32]).await.unwrap());
    let between = Codec::new(Vault::open(&bed.nats, &[7; 32]).await.unwrap());
    let gone = |read: &Decision<Named>| read.events[0].name == Personal((3, Bytes(vec![])));
    let mut older = vec![codec.encode(&decision()).await.unwrap()];
    before.decode::<Named>(&older[0]).await.unwrap();
    for round in 0..3 {
        vault.erase("acme").await.unwrap();
        assert!(gone(&between.decode::<Named>(&older[0]).await.unwrap()));
        vault.reopen("acme").await.unwrap();
        let newer = decision();
        let bytes = codec.encode(&newer).await.unwrap();
        let later = Codec::new(Vault::open(&bed.nats, &[7; 32]).await.unwrap());
        for codec in [&codec, &before, &between, &later] {
            assert_eq!(codec.decode::<Named>(&bytes).await.unwrap(), newer, "{round}");
            for bytes in &older {
                assert!(gone(&codec.decode::<Named>(bytes).await.unwrap()), "{round}");
            }
        }
        older.push(bytes);
    }
}

#[tokio::test]
async fn opening_a_tenant_that_is_open_changes_nothing() {
    let bed = Bed::new().await;
    let vault = Vault::open(&bed.nats, &[7; 32]).await.unwrap();
    let codec = Codec::new(vault.clone());
    let decision = decision();
    let bytes = codec.encode(&decision).await.unwrap();
    vault.reopen("acme").await.unwrap();
    assert_eq!(codec.decode::<Named>(&bytes).await.unwrap(), decision);
}

#[tokio::test]
async fn a_changed_ciphertext_is_noticed() {
    let bed = Bed::new().await;
    let codec = Codec::new(Vault::open(&bed.nats, &[7; 32]).await.unwrap());
    let mut bytes = codec.encode(&decision()).await.unwrap().to_vec();
    let size = bytes.windows(4).position(|window| window == b"size").unwrap();
    bytes[size - 3] ^= 1;
    assert!(codec.decode::<Named>(&bytes).await.is_err());
}

#[tokio::test]
async fn another_master_key_opens_nothing() {
    let bed = Bed::new().await;
    let codec = Codec::new(Vault::open(&bed.nats, &[7; 32]).await.unwrap());
    let bytes = codec.encode(&decision()).await.unwrap();
    let stranger = Codec::new(Vault::open(&bed.nats, &[8; 32]).await.unwrap());
    assert!(stranger.decode::<Named>(&bytes).await.is_err());
}

/// Bytes that hold something personal where something else belongs.
fn otherwise(tenant: &str, size: &rmpv::Value) -> Vec<u8> {
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
async fn what_cannot_be_read_is_told_without_what_stands_in_it() {
    let bed = Bed::new().await;
    let codec = Codec::new(Vault::open(&bed.nats, &[1; 32]).await.unwrap());
    let secret = std::str::from_utf8(SECRET).unwrap();
    for size in [rmpv::Value::from(secret), rmpv::Value::from(true)] {
        let error = codec.decode::<Named>(&otherwise("acme", &size)).await.unwrap_err();
        assert!(!error.to_string().contains(secret), "{error}");
        assert!(error.to_string().starts_with("a decision cannot be read: "), "{error}");
    }
}

#[tokio::test]
async fn a_tenant_that_no_key_store_knows_is_not_waited_for() {
    let bed = Bed::new().await;
    let codec = Codec::new(Vault::open(&bed.nats, &[1; 32]).await.unwrap());
    for tenant in ["", "a b", "a\0b", "a.b", "*", &"a".repeat(65)] {
        let error = codec.decode::<Named>(&otherwise(tenant, &rmpv::Value::from(1))).await;
        assert!(matches!(error, Err(ffapi_nats::CodecError::Unreadable(_))), "{tenant}: {error:?}");
    }
}
