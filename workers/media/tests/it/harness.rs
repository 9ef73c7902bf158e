use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use domain::{
    Personal,
    media::{Capabilities, Convert, Operation, Overwrite},
};
use media::protocol::{self, INPUT, Report, Said, Task};
use tempfile::TempDir;

pub(crate) struct Slot {
    folder: TempDir,
}

/// Everything a child said, in order.
pub(crate) type Talk = Vec<Said>;

fn child() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples/child")
}

pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Makes a clip with the ffmpeg command line: a moving picture and a tone.
pub(crate) fn clip(path: &Path, size: &str, seconds: u32, extra: &[&str]) {
    let picture = format!("testsrc2=s={size}:r=25:d={seconds}");
    let sound = format!("sine=f=440:r=48000:d={seconds}");
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &picture];
    arguments.extend(["-f", "lavfi", "-i", &sound, "-pix_fmt", "yuv420p"]);
    arguments.extend(["-c:v", "libx264", "-preset", "ultrafast", "-g", "50", "-c:a", "aac"]);
    arguments.extend(extra);
    let path = path.display().to_string();
    arguments.push(&path);
    run("ffmpeg", &arguments);
}

impl Slot {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        Self { folder }
    }

    pub(crate) fn with(bytes: &[u8]) -> Self {
        let slot = Self::new();
        fs::write(slot.input(), bytes).unwrap();
        slot
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.folder.path().join("in").join(INPUT)
    }

    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    pub(crate) fn task(&self, task: &Task) -> Talk {
        let mut child = Command::new(child())
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let mut from = child.stdout.take().unwrap();
        protocol::write(&mut to, task).unwrap();
        let mut talk = Vec::new();
        while let Some(said) = protocol::read(&mut from).unwrap() {
            talk.push(said);
        }
        child.wait().unwrap();
        talk
    }

    pub(crate) fn convert(&self, output: &str, operations: Vec<Operation>) -> Talk {
        self.task(&Task::Convert {
            request: Box::new(Convert {
                input: Personal::Erased,
                output: Personal::Clear(output.parse().unwrap()),
                operations,
                overwrite: Overwrite::Fail,
            }),
            capabilities: Capabilities::everything(),
            output: output.to_owned(),
        })
    }
}

pub(crate) fn report(talk: &Talk) -> &Report {
    match talk.last() {
        Some(Said::Done(report)) => report,
        other => panic!("not done: {other:?} after {talk:?}"),
    }
}

pub(crate) fn failure(talk: &Talk) -> (&str, &str) {
    match talk.last() {
        Some(Said::Failed { code, message }) => (code.as_str(), message),
        other => panic!("did not fail: {other:?}"),
    }
}

/// One value as ffprobe sees it.
pub(crate) fn probe(path: &Path, stream: &str, entry: &str) -> String {
    let path = path.display().to_string();
    let mut arguments = vec!["-v", "error", "-of", "default=nw=1:nk=1", "-show_entries", entry];
    if !stream.is_empty() {
        arguments.extend(["-select_streams", stream]);
    }
    arguments.push(&path);
    run("ffprobe", &arguments).trim().to_owned()
}

pub(crate) fn seconds(path: &Path) -> f64 {
    probe(path, "", "format=duration").parse().unwrap()
}
