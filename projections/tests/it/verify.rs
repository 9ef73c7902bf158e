//! The trail beside the log: what cannot be read and what stands outside is named, and the rest is looked at.

use ffapi_commands::Caller;
use ffapi_domain::{
    Decider, KeyId, Personal, Timestamp,
    key::{Grant, Key, KeyCommand, KeyTerms, Scope},
};
use ffapi_nats::{AuditStream, SignedHeads};
use ffapi_projections::{
    Archive, AuditDecisions, AuditNotes, Notary,
    audit::{Verdict, verify},
};
use uuid::Uuid;

use crate::harness::{Bed, until};

impl Bed {
    async fn key(&self, n: u128) -> String {
        let id = KeyId::from_uuid(Uuid::from_u128(n)).to_string();
        let command = KeyCommand::Create {
            name: Personal::Clear("name".to_owned()),
            description: None,
            hash: "00".to_owned(),
            pepper_version: 1,
            scopes: [Scope::JobsRead].into(),
            terms: KeyTerms::default(),
            by: Grant::of_the_house(),
            at: Timestamp::from_millis(1),
        };
        let caller = Caller::process("test");
        self.commands.handle::<Key>("acme", &id, &caller, command).await.unwrap();
        id
    }

    fn run_the_trail(&self) {
        self.run(Archive);
        self.run(AuditDecisions);
        self.run_over(self.commands.log().notes(), AuditNotes);
    }

    async fn verdict(&self) -> Verdict {
        let log = self.commands.log();
        let key = ffapi_projections::verifying_key([3; 32]);
        let notary = Notary::new(key, SignedHeads::new(log.nats().clone())).unwrap();
        verify(&self.database, log, self.commands.codec(), &notary).await.unwrap()
    }

    /// The rows at fault.
    async fn faults(&self) -> Vec<String> {
        self.verdict().await.faults.into_iter().map(|fault| fault.row).collect()
    }

    async fn noted(&self, count: i64) {
        let pool = self.pool().await;
        until(async || {
            let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM audit_note");
            rows.fetch_one(&pool).await.unwrap() == count
        })
        .await;
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_a_fault_with_its_place_and_the_rest_is_verified() {
    let bed = Bed::new().await;
    let id = bed.key(1).await;
    let unreadable = bed.append(&format!("ev.{}.acme.{id}", Key::CATEGORY), b"\x81\xa1a\x01").await;
    bed.key(2).await;
    let notes = AuditStream::new(bed.commands.log().nats().clone());
    notes.keep("acme.key-refused_unknown", b"nothing".to_vec().into()).await.unwrap();
    notes.keep("acme.key-refused_unknown", b"nothing else".to_vec().into()).await.unwrap();
    bed.run_the_trail();
    bed.noted(2).await;
    let last = bed.key(3).await;
    while bed.verdict().await.rows < 4 + 2 {}
    let verdict = bed.verdict().await;
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
    // What comes after it is looked at as before.
    sqlx::query("UPDATE audit_decision SET actor = 'nobody' WHERE target = $1")
        .bind(last)
        .execute(&bed.pool().await)
        .await
        .unwrap();
    assert!(bed.faults().await.contains(&"audit_decision 4-0".to_owned()));
}

#[tokio::test]
async fn rows_before_the_beginning_and_behind_the_end_are_faults_in_every_table() {
    let bed = Bed::new().await;
    bed.run_the_trail();
    bed.key(1).await;
    let notes = AuditStream::new(bed.commands.log().nats().clone());
    notes.keep("acme.key-refused_unknown", b"nothing".to_vec().into()).await.unwrap();
    bed.noted(1).await;
    bed.caught_up_with_the_log().await;
    let known = ["audit_note 1".to_owned()];
    assert_eq!(bed.faults().await, known);
    let pool = bed.pool().await;
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
            let refused = run(add(outside)).await.unwrap_err();
            assert!(refused.to_string().contains("check constraint"), "{refused}");
        }
        run(format!("ALTER TABLE {table} DROP CONSTRAINT {table}_in_log")).await.unwrap();
        for outside in [0, -1, 2, 1_000_000, i64::MAX] {
            run(add(outside)).await.unwrap();
            let found = bed.faults().await;
            assert!(found.contains(&format!("{table} {outside}")), "{table} {outside}: {found:?}");
            run(format!("DELETE FROM {table} WHERE sequence = {outside}")).await.unwrap();
        }
        assert_eq!(bed.faults().await, known, "{table}");
    }
    // A read model that says it is not there yet, so that nobody looks at its rows.
    for (sequence, fault) in
        [(0, "it is at 0, and the rows end at 1"), (9, "and the log ends at 1")]
    {
        sqlx::query("UPDATE projection_checkpoint SET sequence = $1 WHERE name = 'archive'")
            .bind(sequence)
            .execute(&pool)
            .await
            .unwrap();
        let verdict = bed.verdict().await;
        let named = |row: &ffapi_projections::audit::Fault| {
            row.row == "projection_checkpoint archive" && row.why.contains(fault)
        };
        assert!(verdict.faults.iter().any(named), "{verdict:?}");
    }
}

#[tokio::test]
async fn rows_of_decisions_that_are_removed_are_a_fault_wherever_their_read_model_says_it_is() {
    let bed = Bed::new().await;
    let running = [bed.run(Archive), bed.run(AuditDecisions)];
    for n in 1..=3 {
        bed.key(n).await;
    }
    bed.caught_up_with_the_log().await;
    assert_eq!(bed.faults().await, Vec::<String>::new());
    for running in running {
        running.stop().await.unwrap();
    }
    let pool = bed.pool().await;
    let behind = ["projection_checkpoint audit_decision".to_owned()];
    for told in [
        "UPDATE projection_checkpoint SET sequence = 1 WHERE name = 'audit_decision'",
        "DELETE FROM projection_checkpoint WHERE name = 'audit_decision'",
    ] {
        sqlx::query("DELETE FROM audit_decision WHERE sequence > 1").execute(&pool).await.unwrap();
        sqlx::query(told).execute(&pool).await.unwrap();
        assert_eq!(bed.faults().await, behind, "{told}");
    }
    // What is only late is there by the time that it is looked at, or soon after.
    sqlx::query("DELETE FROM audit_decision").execute(&pool).await.unwrap();
    let running = bed.run(AuditDecisions);
    assert_eq!(bed.faults().await, Vec::<String>::new());
    running.stop().await.unwrap();
}

impl Bed {
    async fn caught_up_with_the_log(&self) {
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
