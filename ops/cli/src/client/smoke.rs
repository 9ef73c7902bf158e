use std::time::Instant;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{http::Client, progress::follow, text};
use crate::arguments::Server;

/// Sides of the generated video in pixels, and its frames at 25 a second.
const WIDTH: usize = 64;
const HEIGHT: usize = 48;
const FRAMES: usize = 25;

/// Uses a running service as a client does: uploads a video, converts it, follows the job, reads the output,
/// and deletes everything again. Each step is a line; the first one that fails ends it.
pub(crate) async fn smoke(server: &Server) -> anyhow::Result<()> {
    let client = Client::new(server)?;
    let mut steps = Steps { last: Instant::now() };
    let account = client.get("/api/v1/me").await.context("GET /me")?;
    steps.done("key", text(&account, "/account/tenant"));
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("smoke.y4m");
    tokio::fs::write(&file, video()).await?;
    let upload = client.upload(&file).await.context("POST /uploads")?;
    let upload = text(&upload, "/id").to_owned();
    steps.done("upload", &upload);
    let outcome = convert(&client, &upload, &mut steps).await;
    // Also after a failure: a check leaves nothing behind.
    let deleted = client.delete(&format!("/api/v1/uploads/{upload}")).await;
    outcome?;
    deleted.context("DELETE /uploads/{id}")?;
    steps.done("delete", &upload);
    Ok(())
}

async fn convert(client: &Client, upload: &str, steps: &mut Steps) -> anyhow::Result<()> {
    let body = json!({
        "input": upload, "output": format!("smoke/{upload}.mp4"), "keep": 3_600,
        "metadata": { "purpose": "smoke test" },
        "operations": [{ "type": "transcode", "video_codec": "h264", "preset": "ultrafast" }],
    });
    let created = client.post("/api/v1/convert", &body).await.context("POST /convert")?;
    let job = text(&created, "/job/id").to_owned();
    steps.done("submit", &job);
    let path = format!("/api/v1/jobs/{job}");
    let ended = follow(client, &job).await.context("GET /jobs/{id}/events")?;
    let shown = client.get(&path).await.context("GET /jobs/{id}")?;
    let reason = text(&shown, "/error/message");
    ensure!(ended == "job.completed", "the job ended with {ended}: {reason}");
    ensure!(text(&shown, "/status") == "completed", "GET {path} is older than its events");
    steps.done("convert", "completed");
    let output = shown.pointer("/outputs/0").context("the job has no output")?;
    let size = output.get("size").and_then(Value::as_u64).unwrap_or(0);
    let url = text(output, "/url");
    let whole = client.bytes(url, None).await.context("GET the output")?;
    ensure!(whole.len() as u64 == size, "the output has {} bytes, not {size}", whole.len());
    ensure!(whole.get(4..8) == Some(b"ftyp"), "the output is no MP4 file");
    let part = client.bytes(url, Some("bytes=4-7")).await.context("GET a range of the output")?;
    ensure!(part == b"ftyp", "a range of the output has other bytes");
    steps.done("download", &format!("{size} bytes"));
    client.delete(&format!("{path}/outputs")).await.context("DELETE the outputs")?;
    steps.done("delete", &job);
    Ok(())
}

/// Prints how long each step took.
struct Steps {
    last: Instant,
}

impl Steps {
    #[expect(clippy::print_stdout, reason = "a command line speaks to its user")]
    fn done(&mut self, step: &str, detail: &str) {
        println!("ok    {step:<9} {:>6} ms  {detail}", self.last.elapsed().as_millis());
        self.last = Instant::now();
    }
}

/// A video without compression (YUV4MPEG2): a bar that moves over a gray image.
fn video() -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 W{WIDTH} H{HEIGHT} F25:1 Ip A1:1 C420jpeg\n").into_bytes();
    for frame in 0..FRAMES {
        bytes.extend_from_slice(b"FRAME\n");
        let luma = (0..HEIGHT).flat_map(|_| {
            (0..WIDTH).map(move |x| if x / 8 == frame % (WIDTH / 8) { 235 } else { 96 })
        });
        bytes.extend(luma);
        bytes.extend(std::iter::repeat_n(128_u8, WIDTH * HEIGHT / 2));
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generated_video_has_all_its_frames() {
        let header = "YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg\n".len();
        assert_eq!(video().len(), header + FRAMES * (6 + WIDTH * HEIGHT * 3 / 2));
    }
}
