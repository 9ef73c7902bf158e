use std::{path::Path, process::Command};

use crate::stack::{Stack, bunny};

/// The blocks of one language of docs/quickstart.md, in order.
fn blocks(language: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("docs/quickstart.md")).unwrap();
    let begin = format!("```{language}\n");
    let blocks = text.split(&begin).skip(1);
    blocks.map(|block| block.split("```").next().unwrap()).collect()
}

#[tokio::test]
async fn the_quick_start_with_curl_works_to_the_letter() {
    let stack = Stack::new().await;
    let folder = ffapi_embedded::temporary_folder().unwrap();
    std::fs::copy(bunny(), folder.path().join("video.mp4")).unwrap();
    let address = stack.url.strip_prefix("http://").unwrap();
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &blocks("sh").replace("localhost:8080", address)])
        .current_dir(folder.path())
        .env("KEY", &stack.key)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    // Convert, thumbnails and batch.
    assert_eq!(printed.lines().filter(|line| *line == "completed").count(), 3, "{printed}");
    for shown in [
        "#EXTM3U",
        "thumbnail-0003.jpg",
        "integrated_lufs",
        "\"duration\":5.312",
        "batch.completed",
        "#/operations/0/height",
    ] {
        assert!(printed.contains(shown), "{shown}: {printed}");
    }
    assert!(std::fs::metadata(folder.path().join("small.mp4")).unwrap().len() > 10_000);
}
