use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::UnixStream,
    path::Path,
    process::Command,
};

use super::enter;
use crate::child::Settings;

/// Names the slot to a process of ours that is to be locked in.
const SLOT: &str = "FFAPI_TEST_SLOT";

/// What a process finds that is locked in: a line each, `yes` or `no`.
fn look_around(slot: &Path) -> String {
    let tried = [
        ("its input is read", fs::read(slot.join("in/input")).is_ok()),
        ("its output is written", fs::write(slot.join("out/output"), "x").is_ok()),
        ("another file is read", File::open("/etc/passwd").is_ok()),
        ("what stands beside its slot is read", File::open(slot.join("../secret")).is_ok()),
        ("a folder is listed", fs::read_dir("/").is_ok()),
        ("its input is changed", fs::write(slot.join("in/input"), "x").is_ok()),
        ("another file is written", fs::write(slot.join("../stray"), "x").is_ok()),
        ("a file is moved out", fs::rename(slot.join("out/output"), slot.join("../out")).is_ok()),
        ("a socket is opened", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("somebody is listened for", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("somebody is called", TcpStream::connect("127.0.0.1:22").is_ok()),
        ("a local socket is opened", UnixStream::pair().is_ok()),
        ("a program is run", Command::new("/bin/true").status().is_ok()),
    ];
    let line =
        |(what, done): (&str, bool)| format!("{}: {what}\n", if done { "yes" } else { "no" });
    tried.map(line).concat()
}

/// Not a test of its own: what the one below runs in a process that may be locked in for ever.
#[test]
fn inside() {
    let Some(slot) = std::env::var_os(SLOT) else { return };
    let slot = Path::new(&slot);
    enter(slot, &Settings::default()).unwrap();
    let found = look_around(slot);
    fs::write(slot.join("out/found"), found).unwrap();
}

#[test]
fn who_is_locked_in_has_its_slot_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let slot = folder.path().join("slot");
    for part in ["in", "out"] {
        fs::create_dir_all(slot.join(part)).unwrap();
    }
    fs::write(slot.join("in/input"), "film").unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    // All of it works for who is not locked in, but for calling somebody who may not be there.
    let free = look_around(&slot);
    assert_eq!(
        free.matches("yes: ").count() + usize::from(free.contains("no: somebody is called")),
        13,
        "{free}"
    );
    let program = std::env::current_exe().unwrap();
    let done = Command::new(program)
        .args(["--exact", "sandbox::tests::inside"])
        .env(SLOT, &slot)
        .output()
        .unwrap();
    let found = fs::read_to_string(slot.join("out/found"));
    let found = found.unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let possible: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix("yes: ")).collect();
    assert_eq!(possible, ["its input is read", "its output is written"], "{found}");
}
