use ffapi_nats::{KeyUsage, MasterKeys, Vault};

use crate::harness::TestLog;

const OLD: [u8; 32] = [7; 32];
const NEW: [u8; 32] = [8; 32];

async fn open(test: &TestLog, current: [u8; 32], others: &[[u8; 32]]) -> Vault {
    let keys = MasterKeys { current, others: others.to_vec() };
    Vault::open_with(&test.nats, &keys).await.unwrap()
}

#[tokio::test]
async fn the_master_key_is_rotated_while_others_use_the_vault() {
    let test = TestLog::new().await;
    let alone = open(&test, OLD, &[]).await;
    alone.put("a", b"one").await.unwrap();
    alone.put("b", b"two").await.unwrap();
    alone.put("gone", b"three").await.unwrap();
    alone.remove("gone").await.unwrap();

    // Some processes encrypt under the new key already; the others can read it.
    let next = open(&test, OLD, &[NEW]).await;
    let current = open(&test, NEW, &[OLD]).await;
    current.put("c", b"four").await.unwrap();
    for vault in [&next, &current] {
        assert_eq!(vault.read("a").await.unwrap().unwrap(), b"one");
        assert_eq!(vault.read("c").await.unwrap().unwrap(), b"four");
    }
    let before = KeyUsage { current: 1, others: 2, unreadable: 0 };
    assert_eq!(current.usage().await.unwrap(), before);

    assert_eq!(current.rewrap().await.unwrap(), 2);
    assert_eq!(current.rewrap().await.unwrap(), 0);
    let rotated = open(&test, NEW, &[]).await;
    let after = KeyUsage { current: 3, others: 0, unreadable: 0 };
    assert_eq!(rotated.usage().await.unwrap(), after);
    assert_eq!(rotated.read("b").await.unwrap().unwrap(), b"two");
    assert_eq!(rotated.take("a").await.unwrap().unwrap(), b"one");
    assert_eq!(rotated.read("gone").await.unwrap(), None);

    // The old key alone reads nothing any more, and says so.
    alone.read("b").await.unwrap_err();
    let unreadable = KeyUsage { current: 0, others: 0, unreadable: 2 };
    assert_eq!(alone.usage().await.unwrap(), unreadable);
}
