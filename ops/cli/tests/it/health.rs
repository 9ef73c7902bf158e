//! What the health endpoints say while something is away, and after it is back.

use std::process::Command;

use reqwest::StatusCode;
use serde_json::Value;

use crate::{chaos::children, fleet::Fleet};

const OK: StatusCode = StatusCode::OK;
const UNAVAILABLE: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// What is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Workers,
    Conductors,
    Projectors,
    Storage,
    DeadPostgres,
    FrozenPostgres,
    DeadNats,
    FrozenNats,
}

impl Fault {
    const ALL: [Self; 8] = [
        Self::Workers,
        Self::Conductors,
        Self::Projectors,
        Self::Storage,
        Self::DeadPostgres,
        Self::FrozenPostgres,
        Self::DeadNats,
        Self::FrozenNats,
    ];

    fn begin(self, fleet: &mut Fleet) {
        let mut kill_both = |role| (0..2).for_each(|_| fleet.kill_one(role));
        match self {
            Self::Workers => kill_both("worker"),
            Self::Conductors => kill_both("conductor"),
            Self::Projectors => kill_both("projector"),
            Self::Storage => rename_storage(fleet, "storage", "away"),
            Self::DeadPostgres => fleet.postgres.kill(),
            Self::FrozenPostgres => signal(&postgres(fleet), "STOP"),
            Self::DeadNats => fleet.nats.kill(),
            Self::FrozenNats => signal(&[fleet.nats.pid()], "STOP"),
        }
    }

    fn end(self, fleet: &mut Fleet) {
        let mut start_both = |role| (0..2).for_each(|_| fleet.start(role));
        match self {
            Self::Workers => start_both("worker"),
            Self::Conductors => start_both("conductor"),
            Self::Projectors => start_both("projector"),
            Self::Storage => rename_storage(fleet, "away", "storage"),
            Self::DeadPostgres => while fleet.postgres.restart().is_err() {},
            Self::FrozenPostgres => signal(&postgres(fleet), "CONT"),
            Self::DeadNats => fleet.nats.restart().unwrap(),
            Self::FrozenNats => signal(&[fleet.nats.pid()], "CONT"),
        }
    }

    /// A part of the detailed health that names the fault, and its value.
    const fn shown(self) -> (&'static str, &'static str) {
        match self {
            Self::Workers => ("/components/workers/status", "down"),
            Self::Conductors => ("/components/conductor/status", "down"),
            Self::Projectors => ("/components/projections/job_list/state", "behind"),
            Self::Storage => ("/components/storage/stores/local", "down"),
            Self::DeadPostgres | Self::FrozenPostgres => ("/components/database/status", "down"),
            // Which keys are valid is not known without the log.
            Self::DeadNats | Self::FrozenNats => ("/type", "/errors/unavailable"),
        }
    }

    /// Whether requests can be served meanwhile.
    const fn readiness(self) -> StatusCode {
        match self {
            Self::Workers | Self::Conductors | Self::Projectors | Self::Storage => OK,
            Self::DeadPostgres | Self::FrozenPostgres | Self::DeadNats | Self::FrozenNats => {
                UNAVAILABLE
            }
        }
    }
}

fn rename_storage(fleet: &Fleet, from: &str, to: &str) {
    let folder = fleet.data.path();
    std::fs::rename(folder.join(from), folder.join(to)).unwrap();
}

/// The processes of Postgres, with those that serve open connections.
fn postgres(fleet: &Fleet) -> Vec<u32> {
    let pid = fleet.postgres.pid();
    let mut pids = children(pid, "");
    pids.push(pid);
    pids
}

fn signal(pids: &[u32], name: &str) {
    for pid in pids {
        let _ = Command::new("kill").args(["-s", name, &pid.to_string()]).status();
    }
}

/// True if every component is healthy, and says so.
fn is_healthy(status: StatusCode, health: &Value) -> bool {
    let components = ["log", "database", "conductor", "storage", "workers"];
    let is_ok = |part: &&str| health["components"][*part]["status"] == "ok";
    let models = health["components"]["projections"].as_object();
    status == OK
        && health["status"] == "ok"
        && components.iter().all(is_ok)
        && models.is_some_and(|models| models.values().all(|model| model["state"] == "running"))
}

#[tokio::test]
async fn each_fault_is_reported_while_it_lasts_and_no_longer() {
    let mut fleet = Fleet::new().await;
    let gateway = fleet.urls[0].clone();
    let detailed = "/api/v1/health/detailed";
    let healthy = fleet.until(&gateway, detailed, is_healthy).await;
    let durability = &healthy["components"]["log"]["durability"];
    assert_eq!((&durability["replicas"], &durability["current_replicas"]), (&1.into(), &1.into()));
    for fault in Fault::ALL {
        fault.begin(&mut fleet);
        if fault == Fault::Projectors {
            fleet.convert("missing.mp4", "a.mp4", Value::Array(vec![])).await;
        }
        let (pointer, value) = fault.shown();
        let names_it = |status: StatusCode, health: &Value| {
            status == UNAVAILABLE && health.pointer(pointer).is_some_and(|found| found == value)
        };
        let shown = fleet.until(&gateway, detailed, names_it).await;
        let is_so = |status: StatusCode, _: &Value| status == fault.readiness();
        fleet.until(&gateway, "/api/v1/health/ready", is_so).await;
        let (live, _) = fleet.get(&gateway, "/api/v1/health").await.unwrap();
        assert_eq!(live, OK, "{fault:?}: restarting the gateway would not help");
        if let Some(components) = shown["components"].as_object() {
            let down = components.values().filter(|part| part["status"] == "down").count();
            let expected = usize::from(fault != Fault::Projectors);
            assert_eq!(down, expected, "{fault:?} is all that is wrong: {shown:#}");
        }
        fault.end(&mut fleet);
        fleet.until(&gateway, detailed, is_healthy).await;
        fleet.until(&gateway, "/api/v1/health/ready", |status, _| status == OK).await;
    }
}
