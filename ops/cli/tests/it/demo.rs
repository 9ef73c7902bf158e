use std::{path::Path, process::Command};

#[test]
fn the_demo_converts_a_real_video_and_prints_its_events() {
    let folder = ffapi_embedded::temporary_folder().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(root.join("ops/demo"))
        .env("DEMO_FFAPI", env!("CARGO_BIN_EXE_ffapi"))
        .env("DEMO_FOLDER", folder.path())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{wrong}");
    for shown in ["job.queued", "job.started", "job.outputs_sealed", "job.completed"] {
        assert!(printed.contains(shown), "{printed}");
    }
    assert!(printed.contains("codec_name=h264|width=1280|height=720"), "{printed}");
    assert!(printed.contains("codec_name=aac"), "{printed}");
    assert!(folder.path().join("bunny.mp4").exists(), "{printed}");
}
