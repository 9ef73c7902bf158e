use std::{
    fs::{self, File},
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ffapi_domain::{
    Personal,
    media::{Capabilities, Convert, MediaRequest, Operation, Overwrite},
};
use ffapi_media::protocol::{self, ChildMessage, Permit, PoolAssignment, Report, SCRATCH, Task};
use tempfile::TempDir;

pub(crate) struct Slot {
    folder: TempDir,
}

/// All messages of a child, in order.
pub(crate) type Transcript = Vec<ChildMessage>;

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

/// The stderr of the ffmpeg command line, which has the results of its meters.
pub(crate) fn ffmpeg_stderr(arguments: &[&str]) -> String {
    let output = Command::new("ffmpeg").args(["-nostats"]).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

/// The number after a label in the output of a meter.
pub(crate) fn number_after(text: &str, label: &str) -> f64 {
    let after = text.split(label).nth(1).unwrap_or_else(|| panic!("no {label} in {text}"));
    let number = after.split_ascii_whitespace().next().unwrap();
    number.parse().unwrap_or_else(|_| panic!("{label}{number} is not a number"))
}

/// Runs the ffmpeg command line with arguments separated by spaces; returns its stdout.
pub(crate) fn ffmpeg(arguments: &str) -> String {
    tool("ffmpeg", arguments)
}

/// As `ffmpeg`.
pub(crate) fn ffprobe(arguments: &str) -> String {
    tool("ffprobe", arguments)
}

fn tool(program: &str, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    run(program, &[&["-v", "error"], &arguments[..]].concat())
}

/// A file that `ops/setup` installs in the project's `.tools` folder.
pub(crate) fn project_tool(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools").join(name);
    assert!(path.exists(), "{} is missing: run ops/setup", path.display());
    path
}

/// Five seconds of Big Buck Bunny, 720p.
pub(crate) fn real_video() -> PathBuf {
    project_tool("media/bigbuckbunny.mp4")
}

/// Writes a clip by the ffmpeg command line: a test pattern and a 440 Hz tone.
pub(crate) fn clip(path: &Path, size: &str, seconds: u32, extra: &[&str]) {
    let video = format!("testsrc2=s={size}:r=25:d={seconds}");
    let audio = format!("sine=f=440:r=48000:d={seconds}");
    let mut arguments = vec!["-v", "error", "-y", "-f", "lavfi", "-i", &video];
    arguments.extend(["-f", "lavfi", "-i", &audio, "-pix_fmt", "yuv420p"]);
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
        fs::create_dir_all(folder.path().join("out").join(SCRATCH)).unwrap();
        Self { folder }
    }

    pub(crate) fn with(bytes: &[u8]) -> Self {
        let slot = Self::new();
        fs::write(slot.input(), bytes).unwrap();
        slot
    }

    pub(crate) fn input(&self) -> PathBuf {
        self.extra(0)
    }

    /// The path of the input with an index, such as one that an operation refers to.
    pub(crate) fn extra(&self, index: usize) -> PathBuf {
        self.folder.path().join("in").join(format!("input{index}"))
    }

    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// Removes every output, as in a new slot.
    pub(crate) fn clear(&self) {
        fs::remove_dir_all(self.output("")).unwrap();
        fs::create_dir_all(self.output(SCRATCH)).unwrap();
    }

    pub(crate) fn task(&self, task: &Task) -> Transcript {
        self.task_with(Permit::default(), task, &[], &[])
    }

    /// Every input that was written into the slot, in order.
    fn inputs(&self) -> Vec<File> {
        (0..).map_while(|index| File::open(self.extra(index)).ok()).collect()
    }

    /// Runs a task in a child as a worker does, and grants every permit; returns its messages.
    pub(crate) fn task_with(
        &self,
        permit: Permit,
        task: &Task,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Transcript {
        let (to, theirs) = UnixStream::pair().unwrap();
        let mut child = Command::new(child())
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(self.folder.path())
            .env("SVT_LOG", "1")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut from = child.stdout.take().unwrap();
        protocol::send(&to, task, &self.inputs()).unwrap();
        let mut messages = Vec::new();
        while let Some(message) = protocol::read::<ChildMessage>(&mut from).unwrap() {
            let message = message.checked().unwrap();
            if let ChildMessage::Needs(needs) = &message {
                for folder in &needs.folders {
                    fs::create_dir(self.output(folder)).unwrap();
                }
                protocol::send(&to, &permit, &[]).unwrap();
            }
            messages.push(message);
        }
        child.wait().unwrap();
        messages
    }

    pub(crate) fn run(&self, request: MediaRequest, output: &str) -> Transcript {
        self.run_on(Permit::default(), request, output)
    }

    /// As `run`, with the threads of the permit.
    pub(crate) fn run_on(&self, permit: Permit, request: MediaRequest, output: &str) -> Transcript {
        let task = Task::Run {
            request: Box::new(request),
            capabilities: Capabilities::everything(),
            assignment: PoolAssignment::CPU,
            output: output.to_owned(),
        };
        let transcript = self.task_with(permit, &task, &[], &[]);
        if let (Task::Run { request, .. }, Some(ChildMessage::Done(done))) =
            (&task, transcript.last())
        {
            // What a worker checks.
            done.check_result_of(request).unwrap();
        }
        transcript
    }

    pub(crate) fn convert(&self, output: &str, operations: Vec<Operation>) -> Transcript {
        self.run(Self::conversion(output, operations), output)
    }

    pub(crate) fn conversion(output: &str, operations: Vec<Operation>) -> MediaRequest {
        MediaRequest::Convert(Convert {
            input: Personal::Erased,
            output: Personal::Clear(output.parse().unwrap()),
            operations,
            overwrite: Overwrite::Fail,
        })
    }
}

pub(crate) fn report(messages: &Transcript) -> &Report {
    match messages.last() {
        Some(ChildMessage::Done(report)) => report,
        Some(ChildMessage::Failed { message, .. }) => panic!("failed: {message}"),
        other => panic!("not done: {other:?}"),
    }
}

/// The stages that a child reported, in order and without repetitions.
pub(crate) fn stages(messages: &Transcript) -> Vec<&str> {
    let mut stages: Vec<&str> = messages
        .iter()
        .filter_map(|message| match message {
            ChildMessage::Progress(progress) => Some(progress.stage.as_str()),
            _ => None,
        })
        .collect();
    stages.dedup();
    stages
}

pub(crate) fn failure(messages: &Transcript) -> (&str, &str) {
    match messages.last() {
        Some(ChildMessage::Failed { code, message }) => (code.as_str(), message),
        other => panic!("did not fail: {other:?}"),
    }
}

/// One value as ffprobe prints it.
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

/// The structural similarity (SSIM) of our output and of the input after the filters `chain` of the
/// ffmpeg command line: the lowest of all frames.
pub(crate) fn similarity(slot: &Slot, output: &str, chain: &str) -> f64 {
    let graph = format!(
        "[0:v]{chain},format=yuv420p,setpts=N/TB[a];[1:v]format=yuv420p,setpts=N/TB[b];[a][b]ssim=shortest=1:stats_file=-"
    );
    let (input, output) = (slot.input(), slot.output(output));
    let files = ["-v", "error", "-i", input.to_str().unwrap(), "-i", output.to_str().unwrap()];
    let rest = ["-lavfi", &graph, "-f", "null", "-"];
    let stats = run("ffmpeg", &[&files[..], &rest[..]].concat());
    let all =
        stats.lines().filter_map(|line| line.split("All:").nth(1)?.split(' ').next()?.parse().ok());
    let all: Vec<f64> = all.collect();
    assert!(!all.is_empty(), "{stats}");
    all.into_iter().fold(1.0, f64::min)
}

/// Integrated loudness (LUFS) and true peak (dBTP) by the ffmpeg command line's EBU R128 meter.
pub(crate) fn loudness(path: &Path) -> (f64, f64) {
    let path = path.to_str().unwrap();
    let meter = ["-i", path, "-filter_complex", "ebur128=peak=true", "-f", "null", "-"];
    let text = ffmpeg_stderr(&meter);
    let summary = text.rsplit("Summary:").next().unwrap();
    (number_after(summary, "I:"), number_after(summary, "Peak:"))
}

/// The peak signal-to-noise ratio in dB of two images or videos of one size, by ffmpeg's filter.
pub(crate) fn psnr(first: &Path, second: &Path) -> f64 {
    compared(first, "format=yuv420p", second, "format=yuv420p")
}

/// As [`psnr`], of two files with filters to apply to each before the comparison.
pub(crate) fn compared(first: &Path, first_chain: &str, second: &Path, second_chain: &str) -> f64 {
    let graph = format!("[0:v]{first_chain}[a];[1:v]{second_chain}[b];[a][b]psnr");
    let inputs = ["-i", first.to_str().unwrap(), "-i", second.to_str().unwrap()];
    let text = ffmpeg_stderr(&[&inputs[..], &["-lavfi", &graph, "-f", "null", "-"]].concat());
    number_after(&text, "average:")
}

pub(crate) fn notes(messages: &Transcript) -> String {
    let result = report(messages).result.clone().unwrap_or_default();
    result.get("notes").map(ToString::to_string).unwrap_or_default()
}
