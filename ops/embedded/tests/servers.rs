//! Real servers start, restart after a kill with the same data, and leave no processes behind.

use std::{
    os::unix::{fs::MetadataExt, process::CommandExt},
    process::Command,
};

use ffapi_embedded::{NatsServer, Postgres, temporary_folder};

fn alive(pid: u32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

#[test]
fn nats_restarts_after_a_kill_and_ends_with_its_owner() {
    let folder = temporary_folder().unwrap();
    let mut server = NatsServer::start(folder.path()).unwrap();
    let url = server.url();
    server.kill();
    assert!(!server.is_running());
    server.restart().unwrap();
    assert_eq!(server.url(), url);
    let pid = server.pid();
    drop(server);
    assert!(!alive(pid));
}

#[test]
fn postgres_restarts_after_a_kill_and_ends_with_its_owner() {
    let folder = temporary_folder().unwrap();
    let mut server = Postgres::start(folder.path()).unwrap();
    server.kill();
    server.restart().unwrap();
    let pid = server.pid();
    drop(server);
    assert!(!alive(pid));
}

#[test]
fn postgres_starts_although_the_pid_of_a_killed_one_was_reused() {
    let folder = temporary_folder().unwrap();
    let mut server = Postgres::start(folder.path()).unwrap();
    let pid_file = folder.path().join("postgres/postmaster.pid");
    let content = std::fs::read_to_string(&pid_file).unwrap();
    server.kill();
    // A process of the same user, as in a container; another user's would not be in the way.
    let owner = folder.path().join("postgres").metadata().unwrap();
    let mut other = Command::new("sleep");
    let mut other = other.arg("60").uid(owner.uid()).gid(owner.gid()).spawn().unwrap();
    let (old, rest) = content.split_once('\n').unwrap();
    assert_eq!(old, server.pid().to_string());
    std::fs::write(&pid_file, format!("{}\n{rest}", other.id())).unwrap();
    server.restart().unwrap();
    assert!(other.try_wait().unwrap().is_none(), "an unrelated process was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn a_copied_cluster_is_created_once_and_starts() {
    let templates = temporary_folder().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let folder = temporary_folder().unwrap();
                Postgres::copy_cluster(templates.path(), folder.path()).unwrap();
                assert!(Postgres::start(folder.path()).unwrap().is_running());
            });
        }
    });
    assert_eq!(templates.path().read_dir().unwrap().count(), 1);
}

/// The child processes of a process.
fn children(of: u32) -> Vec<String> {
    let list = format!("/proc/{of}/task/{of}/children");
    let list = std::fs::read_to_string(list).unwrap_or_default();
    list.split_ascii_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_stuck_process_of_a_killed_postgres_does_not_block_the_next_start() {
    let folder = temporary_folder().unwrap();
    let mut server = Postgres::start(folder.path()).unwrap();
    let stuck = children(server.pid());
    assert!(!stuck.is_empty());
    let stop = Command::new("kill").args(["-s", "STOP"]).args(&stuck).status().unwrap();
    assert!(stop.success());
    server.kill();
    server.restart().unwrap();
    assert!(server.is_running());
}

#[test]
fn a_server_left_by_a_killed_owner_does_not_block_the_next() {
    let folder = temporary_folder().unwrap();
    let first = NatsServer::start(folder.path()).unwrap();
    let left = first.pid();
    std::mem::forget(first);
    let _second = NatsServer::start(folder.path()).unwrap();
    // The first is at most a zombie of this process: it no longer runs.
    let state = std::fs::read_to_string(format!("/proc/{left}/stat")).unwrap_or_default();
    assert!(state.is_empty() || state.contains(") Z "), "{state}");
}

#[test]
fn a_server_dies_with_the_thread_that_started_it() {
    let folder = temporary_folder().unwrap();
    let path = folder.path().to_owned();
    let mut server = std::thread::spawn(move || NatsServer::start(&path).unwrap()).join().unwrap();
    while server.is_running() {
        std::thread::yield_now();
    }
}
