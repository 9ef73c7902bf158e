use std::{fs, path::Path};

use ffapi_domain::media::{Packaging, SegmentFormat, Stream, StreamPlan};

use super::stream_pipeline::StreamPipeline;
use crate::{
    MediaError,
    cues::{self, Cues},
    engine::{
        TaskContext,
        package::{self, Captioned, Packaged},
    },
    open,
    protocol::MadeFile,
};

/// The folder of the n-th captions.
pub(super) fn captions_folder(number: usize) -> String {
    format!("captions-{number}")
}

/// The texts, each as WebVTT for a player's clock.
pub(super) fn captions(
    context: &TaskContext<'_>,
    request: &Stream,
    plan: &StreamPlan,
) -> Result<Vec<(Captioned, String)>, MediaError> {
    let mut made = Vec::new();
    let all = plan.captions.iter().zip(&request.captions).enumerate();
    for (number, (planned, caption)) in all {
        let file = context.inputs.get(planned.source.input);
        let (file, _) =
            file.ok_or_else(|| MediaError::internal("the plan", "has no such input"))?;
        let cues = Cues::read(open::open(file, cues::role(&planned.source))?, &planned.source)?;
        let folder = captions_folder(number);
        // In a transport stream everything is a second late.
        let late = if request.segments == SegmentFormat::Ts { 90_000 } else { 0 };
        let map = format!("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{late}\n");
        let text = cues.to_webvtt().replacen("WEBVTT\n", &map, 1);
        made.push((
            Captioned {
                folder,
                language: caption.language.clone(),
                name: caption.name.clone().unwrap_or_else(|| caption.language.clone()),
            },
            text,
        ));
    }
    Ok(made)
}

/// Every segment, with what the whole stream is told by its first file.
pub(super) fn listed(streams: &[Packaged], format: SegmentFormat) -> Vec<MadeFile> {
    let mut files = Vec::new();
    for stream in streams {
        if format == SegmentFormat::Fmp4 {
            files.push(MadeFile::named(format!("{}/init.mp4", stream.folder), None));
        }
        for (number, segment) in stream.segments.iter().enumerate() {
            let name = format!("{}/{}", stream.folder, stream.file(number));
            files.push(MadeFile::named(name, Some(segment.duration)));
        }
    }
    files
}

/// Manifests come last: whoever sees one sees everything it names.
pub(super) fn write_manifests(
    press: &StreamPipeline<'_>,
    streams: &[Packaged],
    captions: &[(Captioned, String)],
) -> std::io::Result<Vec<MadeFile>> {
    let mut files = Vec::new();
    let lasts = streams.iter().map(Packaged::lasts).fold(0.0, f64::max);
    let mut write = |name: String, text: &str| {
        fs::write(press.root.join(&name), text)?;
        files.push(MadeFile::named(name, None));
        Ok::<(), std::io::Error>(())
    };
    let packaging = press.request.packaging;
    let encrypted = press.key.is_some();
    let hls = matches!(packaging, Packaging::Hls | Packaging::Cmaf);
    let iframes = hls && !encrypted && press.request.segments == SegmentFormat::Fmp4;
    let told: Vec<Captioned> = captions.iter().map(|(told, _)| told.clone()).collect();
    for (caption, text) in captions {
        write(format!("{}/captions.vtt", caption.folder), text)?;
    }
    if hls {
        for (caption, _) in captions {
            let text = package::captions_playlist(lasts);
            write(format!("{}/index.m3u8", caption.folder), &text)?;
        }
        for stream in streams {
            let name = format!("{}/index.m3u8", stream.folder);
            write(name, &package::media(stream, encrypted))?;
            if iframes && stream.is_video() {
                write(format!("{}/iframes.m3u8", stream.folder), &package::iframes(stream))?;
            }
        }
    }
    if matches!(packaging, Packaging::Dash | Packaging::Cmaf) {
        write("manifest.mpd".to_owned(), &package::manifest(streams, &told))?;
    }
    if hls {
        write("master.m3u8".to_owned(), &package::master(streams, &told, iframes))?;
    }
    if encrypted {
        files.insert(0, MadeFile::named("key.bin".to_owned(), None));
    }
    Ok(files)
}

/// Every file that is listed is there, and has something in it.
pub(super) fn check_files(root: &Path, files: &[MadeFile]) -> Result<(), MediaError> {
    for file in files {
        let there = root.join(&file.name).metadata().is_ok_and(|meta| meta.len() > 0);
        if !there {
            let code = ffapi_domain::job::FailureCode::VerificationFailed;
            return Err(MediaError::new(code, format!("{} was not made", file.name)));
        }
    }
    Ok(())
}
