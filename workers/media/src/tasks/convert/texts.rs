//! The texts that filters draw, and subtitles in files of their own.

use std::{fs, path::Path};

use ffapi_domain::media::{CueSource, Plan, VideoFilter};

use crate::{
    MediaError,
    cues::{self, Cues},
    fonts, open,
    pipeline::{
        context::TaskContext,
        filtergraph::{cue_file, text_file},
    },
    protocol::VerifiedFile,
    units::seconds,
};

/// Writes the texts, subtitles and fonts that filters draw to the files that they read. Returns notes
/// on characters that no font has.
pub(super) fn write_texts(
    context: &TaskContext<'_>,
    plan: &Plan,
) -> Result<Vec<String>, MediaError> {
    let mut notes = Vec::new();
    let failed = |error| MediaError::internal("the scratch folder", error);
    let filters = plan.video.iter().flat_map(|video| video.filters.iter().enumerate());
    for (index, filter) in filters {
        if let VideoFilter::Text { text, .. } = filter {
            fs::write(text_file(context.scratch, index), text).map_err(failed)?;
            notes.extend(fonts::missing_characters_note(&fonts::for_text(text).missing));
        }
    }
    for (number, source) in plan.cues.iter().enumerate() {
        let (file, _) = context.input(source.input)?;
        let fonts = fonts::attached(&open::open(file, cues::role(source))?);
        let height = plan.video.as_ref().map_or(0, |video| video.height);
        let text = read_cues(context, source)?.to_ass(height) + &fonts;
        fs::write(cue_file(context.scratch, number), text).map_err(failed)?;
    }
    Ok(notes)
}

pub(super) fn read_cues(context: &TaskContext<'_>, source: &CueSource) -> Result<Cues, MediaError> {
    let (file, _) = context.input(source.input)?;
    Cues::read(open::open(file, cues::role(source))?, source)
}

/// Writes the subtitle files that belong to the output.
pub(super) fn sidecars(
    context: &TaskContext<'_>,
    plan: &Plan,
    output: &Path,
) -> Result<Vec<VerifiedFile>, MediaError> {
    let wanted = plan.subtitles.iter().filter(|subtitles| subtitles.sidecar);
    let mut made = Vec::new();
    for (number, subtitles) in wanted.enumerate() {
        let cues = read_cues(context, &subtitles.source)?;
        let language = subtitles.language.as_deref().unwrap_or("und");
        let clean: String = language.chars().filter(char::is_ascii_alphanumeric).collect();
        let suffix = if number == 0 { String::new() } else { format!("-{number}") };
        let path = output.with_extension(format!("{clean}{suffix}.vtt"));
        let failed = |error| MediaError::internal("the subtitle file", error);
        fs::write(&path, cues.to_webvtt()).map_err(failed)?;
        made.push(VerifiedFile::at_path(&path, plan.duration.map(seconds)));
    }
    Ok(made)
}
