//! A media child as if taken over by a hostile file: sandboxed like any, but its messages and files
//! are an attack. Tests install it instead of the real one. The name of the job's output selects
//! the attack; other tasks are run as by the real one.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    thread,
    time::{Duration, Instant},
};

use ffapi_domain::{
    job::FailureCode,
    media::{Effort, MediaRequest},
};
use ffapi_media::{
    child::{self, Channel},
    protocol::{ChildMessage, Needs, Progress, Report, Task, VerifiedFile},
};
use serde_json::{Value, json};

/// Longer than the timeout of any test.
const FOREVER: Duration = Duration::from_mins(10);

fn main() {
    let outcome = serve();
    std::process::exit(i32::from(outcome.is_err()));
}

fn serve() -> io::Result<()> {
    let Some(channel) = child::enter_sandbox(std::env::args().skip(2))? else { return Ok(()) };
    let Some((task, inputs)) = channel.task()? else { return Ok(()) };
    match attack(&task) {
        Some(name) => perform(&channel, &name),
        None => child::work(&channel, &task, inputs),
    }
    Ok(())
}

/// The attack of an output named `attack-NAME.mp4`.
fn attack(task: &Task) -> Option<String> {
    let Task::Run { request, .. } = task else { return None };
    let MediaRequest::Convert(convert) = &**request else { return None };
    let name = convert.output.as_ref()?.file_name()?.strip_prefix("attack-")?;
    Some(name.strip_suffix(".mp4")?.to_owned())
}

fn done(files: &[&str], result: Option<Value>) -> ChildMessage {
    let made = |name: &&str| VerifiedFile {
        name: (*name).to_owned(),
        duration: Some(1.0),
        streams: vec![],
    };
    let files = files.iter().map(made).collect();
    ChildMessage::Done(Report { files, result, frames: 1, effort: Effort::default(), plan: None })
}

fn charge(channel: &Channel, folders: &[&str]) {
    let folders = folders.iter().map(|folder| (*folder).to_owned()).collect();
    let _ = channel.ask(Needs { charged: 1, folders, bytes: 0 });
}

fn progress(stage: &str, speed: f64) -> ChildMessage {
    let (stage, outputs) = (stage.to_owned(), BTreeMap::new());
    ChildMessage::Progress(Progress {
        stage,
        done: 1,
        total: None,
        frames: 1,
        fps: 1.0,
        speed,
        outputs,
    })
}

/// Takes space on the disk; then reports an output, or none if nothing stops it.
fn fill_disk(channel: &Channel, attack: &str) {
    match attack {
        // Holes of a sparse file are read, hashed and served like data.
        "sparse" => {
            let hole = fs::File::create("out/output.mp4");
            let _ = hole.and_then(|file| file.set_len(1 << 35));
        }
        "empties" => {
            for n in 0..500_000 {
                let _ = fs::File::create(format!("out/{n}"));
                if n % 100 == 0 {
                    channel.say(&ChildMessage::Working);
                }
            }
        }
        "disk" => {
            let block = vec![1; 1024 * 1024];
            for n in 0..200 {
                let _ = fs::write(format!("out/{n}"), &block);
                thread::sleep(Duration::from_millis(20));
            }
        }
        // Files that no folder lists take space for as long as they are open.
        "unlinked" => {
            let file = fs::File::create("out/x");
            let _ = fs::remove_file("out/x");
            fill(file);
        }
        "renamed" => {
            let file = fs::File::create("out/x");
            let _ = fs::File::create("out/y");
            let _ = fs::rename("out/y", "out/x");
            fill(file);
        }
        _ => {}
    }
    channel.say(&done(&["output.mp4"], None));
}

/// Writes 200 MB within a few seconds.
fn fill(file: io::Result<fs::File>) {
    let Ok(mut file) = file else { return };
    let block = vec![1; 1024 * 1024];
    for _ in 0..200 {
        let _ = file.write_all(&block);
        thread::sleep(Duration::from_millis(20));
    }
}

fn perform(channel: &Channel, attack: &str) {
    // The attack `free` creates the output without reserving the media minutes.
    if attack != "free" {
        charge(channel, &[]);
    }
    let _ = fs::write("out/output.mp4", "the output");
    match attack {
        // Reports files that are not its outputs.
        "absolute" => channel.say(&done(&["/etc/passwd"], None)),
        "environment" => channel.say(&done(&["/proc/self/environ"], None)),
        "climb" => channel.say(&done(&["../../../../../admin.key"], None)),
        "input" => channel.say(&done(&["../in/0"], None)),
        "hidden" => channel.say(&done(&[".scratch/x"], None)),
        "twice" => channel.say(&done(&["output.mp4", "output.mp4"], None)),
        "stranger" => channel.say(&done(&["another.mp4"], None)),
        "link" => {
            let _ = fs::remove_file("out/output.mp4");
            let _ = std::os::unix::fs::symlink("/etc/passwd", "out/output.mp4");
            channel.say(&done(&["output.mp4"], None));
        }
        "folder" => charge(channel, &["../../escaped"]),
        // Continues writing after its final report.
        "late" => {
            thread::spawn(|| {
                for n in 0_u64.. {
                    let _ = fs::write("out/output.mp4", format!("something else, {n}"));
                }
            });
            channel.say(&done(&["output.mp4"], None));
            thread::sleep(FOREVER);
        }
        // Sends messages that the worker must reject.
        "deep" => {
            let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
            channel.say(&done(&["output.mp4"], Some(deep)));
        }
        "nul" => channel.say(&done(&["output.mp4"], Some(json!({ "title": "a\0b" })))),
        "nan" => channel.say(&progress("encoding", f64::NAN)),
        "long" => drop(channel.write(&u32::MAX.to_be_bytes())),
        "nonsense" => drop(channel.write(&[0, 0, 0, 4, 0xc1, 0xc1, 0xc1, 0xc1])),
        // Never finishes.
        "silent" => thread::sleep(FOREVER),
        "endless" => {
            let start = Instant::now();
            while start.elapsed() < FOREVER {
                channel.say(&progress("encoding", 1.0));
            }
        }
        "chatter" => {
            let line = "x".repeat(1_000_000);
            for _ in 0..2_000 {
                channel.say(&ChildMessage::Log { level: "error".to_owned(), line: line.clone() });
            }
            channel.say(&done(&["output.mp4"], None));
        }
        // Exhausts resources.
        "memory" => {
            let mut allocated = vec![];
            for n in 0_u8..=255 {
                allocated.push(vec![n; 16 * 1024 * 1024]);
                thread::sleep(Duration::from_millis(20));
            }
            channel.say(&done(&["output.mp4"], None));
        }
        // Sends many requests that are expensive for its worker.
        "folders" => {
            for n in 0..10_000 {
                charge(channel, &[&format!("f{n}")]);
            }
        }
        "steps" => {
            for n in 2..2_000 {
                let _ = channel.ask(Needs { charged: n, folders: vec![], bytes: 0 });
            }
            channel.say(&done(&["output.mp4"], None));
        }
        "deaf" => {
            for n in 2.. {
                channel.say(&ChildMessage::Needs(Needs { charged: n, folders: vec![], bytes: 0 }));
            }
        }
        // Would give the job many more attempts.
        "code" => channel.say(&ChildMessage::Failed {
            code: FailureCode::ScratchFull,
            message: "the disk is full".to_owned(),
        }),
        // An attempt that ends for lack of space does not count.
        "space" => {
            for bytes in [1, u64::MAX] {
                channel.say(&ChildMessage::Needs(Needs { charged: 1, bytes, folders: vec![] }));
            }
            thread::sleep(FOREVER);
        }
        // More than a job with an output file ever reports.
        "result" => {
            let result = json!({ "notes": vec!["x".repeat(1_000); 2_000] });
            channel.say(&done(&["output.mp4"], Some(result)));
        }
        _ => fill_disk(channel, attack),
    }
}
