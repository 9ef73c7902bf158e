use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::{fs::symlink, net::UnixStream},
    path::Path,
    process::Command,
    thread,
};

use nix::{
    libc,
    sched::{sched_getaffinity, sched_setaffinity},
    sys::{
        prctl,
        signal::{Signal, kill},
    },
    unistd::Pid,
};

use super::enter;
use crate::{child::Settings, ffi};

/// The kernel's value; the C library bindings lack it.
const F_SETSIG: libc::c_int = 10;

/// The environment variable with the slot of the process that is to enter the sandbox.
const SLOT: &str = "FFAPI_TEST_SLOT";

/// Tries what a sandboxed process might attempt: one line each, beginning with `yes` or `no`.
fn try_everything(slot: &Path) -> String {
    let written = fs::write(slot.join("out/output"), "x").is_ok();
    let file = File::open(slot.join("out/output")).unwrap();
    let (own, parent) = (Pid::from_raw(0), Pid::parent());
    let processors = sched_getaffinity(own).unwrap();
    let attempts = [
        ("its output is written", written),
        ("a thread is started", thread::Builder::new().spawn(|| {}).is_ok()),
        ("its thread is named", prctl::set_name(c"decoder").is_ok()),
        ("its thread is moved", sched_setaffinity(own, &processors).is_ok()),
        ("another file is read", File::open("/etc/passwd").is_ok()),
        ("a file next to its slot is read", File::open(slot.join("../secret")).is_ok()),
        ("a file next to its output folder is read", File::open(slot.join("in/input")).is_ok()),
        ("a folder is listed", fs::read_dir("/").is_ok()),
        ("another file is written", fs::write(slot.join("../stray"), "x").is_ok()),
        ("a file is moved out", fs::rename(slot.join("out/output"), slot.join("../out")).is_ok()),
        ("a folder is made", fs::create_dir(slot.join("out/folder")).is_ok()),
        ("a symbolic link is made", symlink("/", slot.join("out/link")).is_ok()),
        ("a hard link is made", fs::hard_link("/etc/passwd", slot.join("out/two")).is_ok()),
        ("a socket is opened", UdpSocket::bind("127.0.0.1:0").is_ok()),
        ("a port is listened on", TcpListener::bind("127.0.0.1:0").is_ok()),
        ("a connection is made", TcpStream::connect("127.0.0.1:22").is_ok()),
        ("a local socket is opened", UnixStream::pair().is_ok()),
        ("a program is run", Command::new("/bin/true").status().is_ok()),
        ("another process is signalled", kill(parent, None).is_ok()),
        ("a file's signals go elsewhere", ffi::control(&file, libc::F_SETOWN, parent.as_raw())),
        ("a file's signal is chosen", ffi::control(&file, F_SETSIG, libc::SIGKILL)),
        ("a file sends signals", ffi::control(&file, libc::F_SETFL, libc::O_ASYNC)),
        ("it outlives its worker", prctl::set_pdeathsig(None::<Signal>).is_ok()),
        ("its memory is opened to others", prctl::set_dumpable(true).is_ok()),
        ("another process is moved", sched_setaffinity(parent, &processors).is_ok()),
    ];
    let line =
        |(what, done): (&str, bool)| format!("{}: {what}\n", if done { "yes" } else { "no" });
    attempts.map(line).concat()
}

/// Not a test of its own: the test below runs it in a process that stays in the sandbox.
#[test]
fn inside() {
    let Some(slot) = std::env::var_os(SLOT) else { return };
    let slot = Path::new(&slot);
    enter(&slot.join("out"), &Settings::default()).unwrap();
    let found = try_everything(slot);
    fs::write(slot.join("out/found"), found).unwrap();
}

#[test]
fn a_sandboxed_process_can_only_use_its_output_folder() {
    let folder = tempfile::tempdir().unwrap();
    let slot = folder.path().join("slot");
    for part in ["in", "out"] {
        fs::create_dir_all(slot.join(part)).unwrap();
    }
    fs::write(slot.join("in/input"), "video").unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    // Without a sandbox all of it works, except perhaps a connection to a port where nothing
    // listens and a hard link to a file on another disk.
    let unconfined = try_everything(&slot);
    let failed: Vec<&str> =
        unconfined.lines().filter_map(|line| line.strip_prefix("no: ")).collect();
    let may_fail = ["a connection is made", "a hard link is made"];
    assert!(failed.iter().all(|what| may_fail.contains(what)), "{unconfined}");
    fs::remove_dir_all(slot.join("out")).or_else(|_| fs::remove_file(slot.join("out"))).unwrap();
    fs::create_dir(slot.join("out")).unwrap();
    let program = std::env::current_exe().unwrap();
    let done = Command::new(program)
        .args(["--exact", "sandbox::tests::inside"])
        .env(SLOT, &slot)
        .output()
        .unwrap();
    let found = fs::read_to_string(slot.join("out/found"));
    let found = found.unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let possible: Vec<&str> = found.lines().filter_map(|line| line.strip_prefix("yes: ")).collect();
    let allowed = [
        "its output is written",
        "a thread is started",
        "its thread is named",
        "its thread is moved",
    ];
    assert_eq!(possible, allowed, "{found}");
}
