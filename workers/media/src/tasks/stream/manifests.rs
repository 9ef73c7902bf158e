use std::{fs, path::Path};

use ffapi_domain::media::{Packaging, SegmentFormat, Stream, StreamPlan};

use super::stream_pipeline::StreamPipeline;
use crate::{
    MediaError,
    cues::{self, Cues},
    open,
    packaging::{self, CaptionTrack, KeyframePlaylists, Packaged},
    pipeline::context::TaskContext,
    protocol::VerifiedFile,
};

/// The folder of the caption track `number`.
pub(super) fn captions_folder(number: usize) -> String {
    format!("captions-{number}")
}

/// The caption tracks, each with its WebVTT text and the mapping of its timestamps.
pub(super) fn captions(
    context: &TaskContext<'_>,
    request: &Stream,
    plan: &StreamPlan,
) -> Result<Vec<(CaptionTrack, String)>, MediaError> {
    let mut tracks = Vec::new();
    let all = plan.captions.iter().zip(&request.captions).enumerate();
    for (number, (planned, caption)) in all {
        let file = context.inputs.get(planned.source.input);
        let (file, _) =
            file.ok_or_else(|| MediaError::internal("the plan", "has no such input"))?;
        let cues = Cues::read(open::open(file, cues::role(&planned.source))?, &planned.source)?;
        let folder = captions_folder(number);
        // Timestamps in transport streams have an offset of one second, in units of 1/90000 s.
        let offset = if request.segments == SegmentFormat::Ts { 90_000 } else { 0 };
        let map = format!("WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:{offset}\n");
        let text = cues.to_webvtt().replacen("WEBVTT\n", &map, 1);
        tracks.push((
            CaptionTrack {
                folder,
                language: caption.language.clone(),
                name: caption.name.clone().unwrap_or_else(|| caption.language.clone()),
            },
            text,
        ));
    }
    Ok(tracks)
}

/// All segments, and the initialization segment of each stream that has one.
pub(super) fn list_files(streams: &[Packaged]) -> Vec<VerifiedFile> {
    let mut files = Vec::new();
    for stream in streams {
        if stream.is_single_file() {
            let name = format!("{}/{}", stream.folder, stream.file(0));
            files.push(VerifiedFile::named(name, Some(stream.duration())));
            continue;
        }
        if stream.format == SegmentFormat::Fmp4 {
            files.push(VerifiedFile::named(format!("{}/init.mp4", stream.folder), None));
        }
        for (number, segment) in stream.segments.iter().enumerate() {
            let name = format!("{}/{}", stream.folder, stream.file(number));
            files.push(VerifiedFile::named(name, Some(segment.duration)));
        }
    }
    files
}

/// Writes the captions and the manifests; a manifest is written after all files that it lists.
pub(super) fn write_manifests(
    pipeline: &StreamPipeline<'_>,
    streams: &[Packaged],
    captions: &[(CaptionTrack, String)],
) -> std::io::Result<Vec<VerifiedFile>> {
    let mut files = Vec::new();
    let duration = streams.iter().map(Packaged::duration).fold(0.0, f64::max);
    let mut write = |name: String, text: &str| {
        fs::write(pipeline.root.join(&name), text)?;
        files.push(VerifiedFile::named(name, None));
        Ok::<(), std::io::Error>(())
    };
    let packaging = pipeline.request.packaging;
    let encrypted = pipeline.key.is_some();
    let hls = matches!(packaging, Packaging::Hls | Packaging::Cmaf);
    let iframes = hls && !encrypted && pipeline.request.segments == SegmentFormat::Fmp4;
    let listed = if iframes { KeyframePlaylists::Listed } else { KeyframePlaylists::Omitted };
    let key = encrypted.then_some("../key.bin");
    let tracks: Vec<CaptionTrack> = captions.iter().map(|(track, _)| track.clone()).collect();
    for (caption, text) in captions {
        write(format!("{}/captions.vtt", caption.folder), text)?;
    }
    if hls {
        for (caption, _) in captions {
            let text = packaging::captions_playlist(duration);
            write(format!("{}/index.m3u8", caption.folder), &text)?;
        }
        for stream in streams {
            let name = format!("{}/index.m3u8", stream.folder);
            write(name, &packaging::media(stream, key))?;
            if iframes && stream.is_video() {
                write(format!("{}/iframes.m3u8", stream.folder), &packaging::iframes(stream))?;
            }
        }
    }
    if matches!(packaging, Packaging::Dash | Packaging::Cmaf) {
        write("manifest.mpd".to_owned(), &packaging::manifest(streams, &tracks))?;
    }
    if hls {
        write("master.m3u8".to_owned(), &packaging::master(streams, &tracks, listed))?;
    }
    if encrypted {
        files.insert(0, VerifiedFile::named("key.bin".to_owned(), None));
    }
    Ok(files)
}

/// Checks that every listed file exists and is not empty.
pub(super) fn check_files(root: &Path, files: &[VerifiedFile]) -> Result<(), MediaError> {
    for file in files {
        let exists = root.join(&file.name).metadata().is_ok_and(|meta| meta.len() > 0);
        if !exists {
            let code = ffapi_domain::job::FailureCode::VerificationFailed;
            return Err(MediaError::new(code, format!("{} is missing or empty", file.name)));
        }
    }
    Ok(())
}
