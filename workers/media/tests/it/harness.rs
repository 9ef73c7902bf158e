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
use ffapi_media::protocol::{self, ChildMessage, Permit, Place, Report, SCRATCH, Task};
use tempfile::TempDir;

pub(crate) struct Slot {
    folder: TempDir,
}

/// Everything a child said, in order.
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

/// What the command line says while it does something: its meters speak there.
pub(crate) fn ffmpeg_says(arguments: &[&str]) -> String {
    let output = Command::new("ffmpeg").args(["-nostats"]).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{arguments:?}: {said}");
    said
}

/// The number behind a word of what a meter says.
pub(crate) fn figure(said: &str, word: &str) -> f64 {
    let behind = said.split(word).nth(1).unwrap_or_else(|| panic!("no {word} in {said}"));
    let figure = behind.split_ascii_whitespace().next().unwrap();
    figure.parse().unwrap_or_else(|_| panic!("{word}{figure} is no number"))
}

/// The command line, its arguments apart by spaces.
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

/// A file that `ops/setup` put among the project's tools.
pub(crate) fn tool_of_our_own(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools").join(name);
    assert!(path.exists(), "{} is missing: run ops/setup", path.display());
    path
}

/// Five seconds of Big Buck Bunny, 720p.
pub(crate) fn real_film() -> PathBuf {
    tool_of_our_own("media/bigbuckbunny.mp4")
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

    /// The place of an input that an operation names.
    pub(crate) fn extra(&self, number: usize) -> PathBuf {
        self.folder.path().join("in").join(format!("input{number}"))
    }

    pub(crate) fn output(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// Removes every output, as if the slot were new.
    pub(crate) fn clear(&self) {
        fs::remove_dir_all(self.output("")).unwrap();
        fs::create_dir_all(self.output(SCRATCH)).unwrap();
    }

    pub(crate) fn task(&self, task: &Task) -> Transcript {
        self.task_with(Permit::default(), task, &[], &[])
    }

    /// Every input that was put into the slot, in order.
    fn inputs(&self) -> Vec<File> {
        (0..).map_while(|number| File::open(self.extra(number)).ok()).collect()
    }

    /// Has a child serve a task, as its worker does: what it asks for it gets.
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
        let mut talk = Vec::new();
        while let Some(said) = protocol::read::<ChildMessage>(&mut from).unwrap() {
            let said =
                said.checked().unwrap_or_else(|error| panic!("a worker refuses that {error}"));
            if let ChildMessage::Needs(needs) = &said {
                for folder in &needs.folders {
                    fs::create_dir(self.output(folder)).unwrap();
                }
                protocol::send(&to, &permit, &[]).unwrap();
            }
            talk.push(said);
        }
        child.wait().unwrap();
        talk
    }

    pub(crate) fn run(&self, request: MediaRequest, output: &str) -> Transcript {
        self.run_on(Permit::default(), request, output)
    }

    /// As `run`, on as many threads as a permit says.
    pub(crate) fn run_on(&self, permit: Permit, request: MediaRequest, output: &str) -> Transcript {
        let task = Task::Run {
            request: Box::new(request),
            capabilities: Capabilities::everything(),
            place: Place::CPU,
            output: output.to_owned(),
        };
        self.task_with(permit, &task, &[], &[])
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

pub(crate) fn report(talk: &Transcript) -> &Report {
    match talk.last() {
        Some(ChildMessage::Done(report)) => report,
        Some(ChildMessage::Failed { message, .. }) => panic!("failed: {message}"),
        other => panic!("not done: {other:?}"),
    }
}

/// What a child said it was at, one after the other.
pub(crate) fn stages(talk: &Transcript) -> Vec<&str> {
    let mut stages: Vec<&str> = talk
        .iter()
        .filter_map(|said| match said {
            ChildMessage::Progress(progress) => Some(progress.stage.as_str()),
            _ => None,
        })
        .collect();
    stages.dedup();
    stages
}

pub(crate) fn failure(talk: &Transcript) -> (&str, &str) {
    match talk.last() {
        Some(ChildMessage::Failed { code, message }) => (code.as_str(), message),
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

/// A picture of our output beside what the command line makes of the input: the worst frame's
/// structural similarity. `chain` is what the command line does to the input.
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

/// What the command line's EBU R128 meter says: integrated loudness and true peak.
pub(crate) fn loudness(path: &Path) -> (f64, f64) {
    let path = path.to_str().unwrap();
    let meter = ["-i", path, "-filter_complex", "ebur128=peak=true", "-f", "null", "-"];
    let said = ffmpeg_says(&meter);
    let summary = said.rsplit("Summary:").next().unwrap();
    (figure(summary, "I:"), figure(summary, "Peak:"))
}

/// The peak signal-to-noise ratio of two pictures or films of one size, by ffmpeg's own filter.
pub(crate) fn psnr(one: &Path, other: &Path) -> f64 {
    compared((one, "format=yuv420p"), other, "format=yuv420p")
}

/// The same of two films that are first brought to what can be compared.
pub(crate) fn compared((one, this): (&Path, &str), other: &Path, that: &str) -> f64 {
    let graph = format!("[0:v]{this}[a];[1:v]{that}[b];[a][b]psnr");
    let inputs = ["-i", one.to_str().unwrap(), "-i", other.to_str().unwrap()];
    let said = ffmpeg_says(&[&inputs[..], &["-lavfi", &graph, "-f", "null", "-"]].concat());
    figure(&said, "average:")
}
