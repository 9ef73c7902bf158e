use std::{
    fs::{self, File},
    io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::symlink,
            net::{SocketAddr, UnixListener, UnixStream},
        },
    },
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
    // The kernel rejects it because it is incomplete, the filter because of what it asks for.
    let own_descriptors = ffi::error_of_thread_with_own_descriptors().kind();
    let attempts = [
        ("its output is written", written),
        ("a thread is started", thread::Builder::new().spawn(|| {}).is_ok()),
        ("a thread has its own descriptors", own_descriptors == io::ErrorKind::InvalidInput),
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

/// The abstract socket that a process under Landlock alone may not connect to.
const SOCKET: &str = "FFAPI_TEST_SOCKET";

fn abstract_address(name: &str) -> SocketAddr {
    SocketAddr::from_abstract_name(name).unwrap()
}

/// Not a test of its own: `landlock_alone_…` runs it in a process that stays restricted.
#[test]
fn inside_landlock() {
    let (Some(slot), Ok(socket)) = (std::env::var_os(SLOT), std::env::var(SOCKET)) else { return };
    let out = Path::new(&slot).join("out");
    let connect = || UnixStream::connect_addr(&abstract_address(&socket)).map(drop);
    let signal = || kill(Pid::parent(), None).map_err(io::Error::from);
    let before = [connect().is_ok(), signal().is_ok()];
    let abi = super::landlock(&out, &[]).unwrap();
    let kinds = [connect(), signal()].map(|done| done.map_err(|error| error.kind()));
    fs::write(out.join("found"), format!("{abi:?} {before:?} {kinds:?}")).unwrap();
}

#[test]
fn landlock_alone_forbids_signals_and_abstract_sockets() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("out")).unwrap();
    let name = format!("ffapi-test-{}", std::process::id());
    let _listener = UnixListener::bind_addr(&abstract_address(&name)).unwrap();
    let done = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::tests::inside_landlock"])
        .env(SLOT, folder.path())
        .env(SOCKET, &name)
        .output()
        .unwrap();
    let found = fs::read_to_string(folder.path().join("out/found"));
    let found = found.unwrap_or_else(|error| panic!("{error}: {done:?}"));
    let (abi, found) = found.split_once(' ').unwrap();
    if abi != "V6" {
        #[expect(clippy::print_stderr, reason = "the output of a test")]
        {
            eprintln!("SKIPPED: the kernel has Landlock {abi}, without scopes");
        }
        return;
    }
    assert_eq!(found, "[true, true] [Err(PermissionDenied), Err(PermissionDenied)]");
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
