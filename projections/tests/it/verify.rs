//! Verification of the audit trail: unreadable messages and rows outside the log are reported, all
//! others are still verified.

use ffapi_commands::Caller;
use ffapi_domain::{
    Decider, KeyId, Personal, Timestamp,
    key::{Grant, Key, KeyCommand, KeyTerms, Scope},
};
use ffapi_nats::{AuditStream, SignedHeads};
use ffapi_projections::{
    AnchorVerifier, Archive, AuditDecisions, AuditNotes,
    audit::{Verdict, verify},
};
use uuid::Uuid;

use crate::harness::{TestServers, until};

impl TestServers {
    /// Creates a key; returns its id.
    async fn create_key(&self, n: u128) -> String {
        let id = KeyId::from_uuid(Uuid::from_u128(n)).to_string();
        let command = KeyCommand::Create {
            name: Personal::Clear("name".to_owned()),
            description: None,
            hash: "00".to_owned(),
            pepper_version: 1,
            scopes: [Scope::JobsRead].into(),
            terms: KeyTerms::default(),
            by: Grant::unrestricted(),
            at: Timestamp::from_millis(1),
        };
        let caller = Caller::process("test");
        self.commands.handle::<Key>("acme", &id, &caller, command).await.unwrap();
        id
    }

    fn run_audit_read_models(&self) {
        self.run(Archive);
        self.run(AuditDecisions);
        self.run_over(self.commands.log().notes(), AuditNotes);
    }

    async fn verdict(&self) -> Verdict {
        let log = self.commands.log();
        let key = ffapi_projections::verifying_key([3; 32]);
        let notary = AnchorVerifier::new([key], SignedHeads::new(log.nats().clone())).unwrap();
        verify(&self.database, log, self.commands.codec(), &notary).await.unwrap()
    }

    /// The rows with faults.
    async fn faults(&self) -> Vec<String> {
        self.verdict().await.faults.into_iter().map(|fault| fault.row).collect()
    }

    /// Waits until there are `count` rows of notes.
    async fn wait_for_notes(&self, count: i64) {
        let pool = self.pool().await;
        until(async || {
            let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM audit_note");
            rows.fetch_one(&pool).await.unwrap() == count
        })
        .await;
    }
}

#[tokio::test]
async fn an_unreadable_message_is_reported_by_sequence_and_the_rest_is_verified() {
    let servers = TestServers::new().await;
    let id = servers.create_key(1).await;
    let unreadable =
        servers.append(&format!("ev.{}.acme.{id}", Key::CATEGORY), b"\x81\xa1a\x01").await;
    servers.create_key(2).await;
    let notes = AuditStream::new(servers.commands.log().nats().clone());
    notes.append("acme.key-refused_unknown", b"nothing".to_vec().into()).await.unwrap();
    notes.append("acme.key-refused_unknown", b"nothing else".to_vec().into()).await.unwrap();
    servers.run_audit_read_models();
    servers.wait_for_notes(2).await;
    let last = servers.create_key(3).await;
    while servers.verdict().await.rows < 4 + 2 {}
    let verdict = servers.verdict().await;
    let faults: Vec<(&str, &str)> =
        verdict.faults.iter().map(|fault| (fault.row.as_str(), fault.why.as_str())).collect();
    assert_eq!(
        faults,
        [
            (format!("log {unreadable}").as_str(), "it cannot be read"),
            ("audit_note 1", "its bytes cannot be read"),
            ("audit_note 2", "its bytes cannot be read"),
        ]
    );
    // Rows after the unreadable message are still verified.
    sqlx::query("UPDATE audit_decision SET actor = 'other' WHERE target = $1")
        .bind(last)
        .execute(&servers.pool().await)
        .await
        .unwrap();
    assert!(servers.faults().await.contains(&"audit_decision 4-0".to_owned()));
}

#[tokio::test]
async fn rows_before_the_first_and_after_the_last_message_are_faults_in_every_table() {
    let servers = TestServers::new().await;
    servers.run_audit_read_models();
    servers.create_key(1).await;
    let notes = AuditStream::new(servers.commands.log().nats().clone());
    notes.append("acme.key-refused_unknown", b"nothing".to_vec().into()).await.unwrap();
    servers.wait_for_notes(1).await;
    servers.audit_caught_up().await;
    let known = ["audit_note 1".to_owned()];
    assert_eq!(servers.faults().await, known);
    let pool = servers.pool().await;
    for (table, columns) in [
        ("archive", "subject, payload, hash"),
        ("audit_decision", "index, at, tenant, actor, address, action, target, request_id, detail"),
        (
            "audit_note",
            "at, tenant, actor, address, action, target, request_id, detail, subject, payload, hash",
        ),
    ] {
        let add = |sequence: i64| {
            format!(
                "INSERT INTO {table} (sequence, {columns})
                 SELECT {sequence}, {columns} FROM {table} WHERE sequence = 1"
            )
        };
        let run = async |statement: String| {
            sqlx::query(sqlx::AssertSqlSafe(statement)).execute(&pool).await
        };
        for outside in [0, -1, i64::MIN] {
            let error = run(add(outside)).await.unwrap_err();
            assert!(error.to_string().contains("check constraint"), "{error}");
        }
        run(format!("ALTER TABLE {table} DROP CONSTRAINT {table}_in_log")).await.unwrap();
        for outside in [0, -1, 2, 1_000_000, i64::MAX] {
            run(add(outside)).await.unwrap();
            let found = servers.faults().await;
            assert!(found.contains(&format!("{table} {outside}")), "{table} {outside}: {found:?}");
            run(format!("DELETE FROM {table} WHERE sequence = {outside}")).await.unwrap();
        }
        assert_eq!(servers.faults().await, known, "{table}");
    }
    // A checkpoint that was changed so that rows would not be verified.
    for (sequence, fault) in
        [(0, "it is at 0, and the rows end at 1"), (9, "and the log ends at 1")]
    {
        sqlx::query("UPDATE projection_checkpoint SET sequence = $1 WHERE name = 'archive'")
            .bind(sequence)
            .execute(&pool)
            .await
            .unwrap();
        let verdict = servers.verdict().await;
        let named = |row: &ffapi_projections::audit::Fault| {
            row.row == "projection_checkpoint archive" && row.why.contains(fault)
        };
        assert!(verdict.faults.iter().any(named), "{verdict:?}");
    }
}

#[tokio::test]
async fn removed_decision_rows_are_a_fault_even_if_the_checkpoint_is_changed() {
    let servers = TestServers::new().await;
    let running = [servers.run(Archive), servers.run(AuditDecisions)];
    for n in 1..=3 {
        servers.create_key(n).await;
    }
    servers.audit_caught_up().await;
    assert_eq!(servers.faults().await, Vec::<String>::new());
    for running in running {
        running.stop().await.unwrap();
    }
    let pool = servers.pool().await;
    let behind = ["projection_checkpoint audit_decision".to_owned()];
    for change_checkpoint in [
        "UPDATE projection_checkpoint SET sequence = 1 WHERE name = 'audit_decision'",
        "DELETE FROM projection_checkpoint WHERE name = 'audit_decision'",
    ] {
        sqlx::query("DELETE FROM audit_decision WHERE sequence > 1").execute(&pool).await.unwrap();
        sqlx::query(change_checkpoint).execute(&pool).await.unwrap();
        assert_eq!(servers.faults().await, behind, "{change_checkpoint}");
    }
    // Rows that are only delayed are waited for.
    sqlx::query("DELETE FROM audit_decision").execute(&pool).await.unwrap();
    let running = servers.run(AuditDecisions);
    assert_eq!(servers.faults().await, Vec::<String>::new());
    running.stop().await.unwrap();
}

impl TestServers {
    /// Waits until archive and decisions have reached the end of the log.
    async fn audit_caught_up(&self) {
        let pool = self.pool().await;
        let last = i64::try_from(self.commands.log().last_sequence().await.unwrap()).unwrap();
        for name in ["archive", "audit_decision"] {
            loop {
                let at: Option<i64> = sqlx::query_scalar(
                    "SELECT sequence FROM projection_checkpoint WHERE name = $1",
                )
                .bind(name)
                .fetch_optional(&pool)
                .await
                .unwrap();
                if at == Some(last) {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
    }
}
