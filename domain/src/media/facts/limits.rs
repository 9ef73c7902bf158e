//! Limits on the facts that are sent on and stored: the tags, titles, chapters and streams of a file may be
//! of any length and number.

use serde::Serialize;

use super::{MediaFacts, StreamDetail, StreamFacts};

/// Limits on the facts of one file, in bytes of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactsLimits {
    /// Of the streams without their titles.
    pub streams: usize,
    /// Of the titles, tags and chapters together.
    pub texts: usize,
}

impl FactsLimits {
    /// For an upload: 64 KiB with everything else.
    pub const OF_UPLOAD: Self = Self { streams: 36 * 1024, texts: 24 * 1024 };
    /// For the result of a probe job.
    pub const OF_PROBE: Self = Self { streams: 192 * 1024, texts: 64 * 1024 };
}

/// Bytes of a name that FFmpeg gives, like that of a codec.
const MAX_NAME: usize = 128;
/// Bytes of a channel layout, which may name each channel.
const MAX_LAYOUT: usize = 1_024;
/// Bytes of a tag's name or value, or of a title.
const MAX_TEXT: usize = 4 * 1_024;
/// Dispositions of a stream.
const MAX_DISPOSITIONS: usize = 32;
/// Notes, and bytes of each.
const MAX_NOTES: usize = 2;
const MAX_NOTE: usize = 512;

impl MediaFacts {
    /// The facts with texts cut to a length that files have, and without the streams, titles, tags and
    /// chapters that exceed the limits; a note says what was left out.
    #[must_use]
    pub fn within(mut self, limits: FactsLimits) -> Self {
        self.cut_texts();
        let FactsLimits { streams: mut streams_left, texts: mut texts_left } = limits;
        let mut left_out = LeftOut::default();
        let mut titles = Vec::new();
        let streams = std::mem::take(&mut self.streams).into_iter().map(|mut stream| {
            titles.push(stream.title.take());
            stream
        });
        let streams: Vec<StreamFacts> = streams.collect();
        self.streams = fitting(streams, &mut streams_left, &mut left_out.streams);
        for (stream, title) in self.streams.iter_mut().zip(titles) {
            let title = title.into_iter().collect();
            stream.title = fitting(title, &mut texts_left, &mut left_out.titles).pop();
        }
        let tags = std::mem::take(&mut self.tags).into_iter().collect();
        let tags: Vec<_> = fitting(tags, &mut texts_left, &mut left_out.tags);
        self.tags = tags.into_iter().collect();
        let chapters = std::mem::take(&mut self.chapters);
        self.chapters = fitting(chapters, &mut texts_left, &mut left_out.chapters);
        self.notes.extend(left_out.note());
        self
    }

    fn cut_texts(&mut self) {
        cut(&mut self.format, MAX_NAME);
        for stream in &mut self.streams {
            stream.cut_texts();
        }
        for title in self.chapters.iter_mut().filter_map(|chapter| chapter.title.as_mut()) {
            cut(title, MAX_TEXT);
        }
        let tags = std::mem::take(&mut self.tags).into_iter().map(|(mut name, mut value)| {
            cut(&mut name, MAX_TEXT);
            cut(&mut value, MAX_TEXT);
            (name, value)
        });
        self.tags = tags.collect();
        self.notes.truncate(MAX_NOTES);
        self.notes.iter_mut().for_each(|note| cut(note, MAX_NOTE));
    }
}

impl StreamFacts {
    fn cut_texts(&mut self) {
        cut(&mut self.codec, MAX_NAME);
        self.dispositions.truncate(MAX_DISPOSITIONS);
        self.dispositions.iter_mut().for_each(|disposition| cut(disposition, MAX_NAME));
        let names = [&mut self.profile, &mut self.language];
        names.into_iter().flatten().for_each(|name| cut(name, MAX_NAME));
        if let Some(title) = &mut self.title {
            cut(title, MAX_TEXT);
        }
        match &mut self.detail {
            StreamDetail::Video(video) => {
                cut(&mut video.pixel_format, MAX_NAME);
                let color = &mut video.color;
                let names = [
                    &mut color.range,
                    &mut color.primaries,
                    &mut color.transfer,
                    &mut color.matrix,
                ];
                names.into_iter().flatten().for_each(|name| cut(name, MAX_NAME));
            }
            StreamDetail::Audio(audio) => {
                cut(&mut audio.layout, MAX_LAYOUT);
                cut(&mut audio.sample_format, MAX_NAME);
            }
            StreamDetail::Subtitle { .. } | StreamDetail::Other => {}
        }
    }
}

/// How many of each were left out.
#[derive(Debug, Default)]
struct LeftOut {
    streams: usize,
    titles: usize,
    tags: usize,
    chapters: usize,
}

impl LeftOut {
    fn note(&self) -> Option<String> {
        let counts = [
            (self.streams, "streams"),
            (self.titles, "titles of streams"),
            (self.tags, "tags"),
            (self.chapters, "chapters"),
        ];
        let named = counts.into_iter().filter(|(count, _)| *count > 0);
        let named: Vec<String> = named.map(|(count, what)| format!("{count} {what}")).collect();
        let named = named.join(", ");
        (!named.is_empty()).then(|| format!("left out because there are too many: {named}"))
    }
}

/// The items that fit into what is `left` of a limit; counts the others. After the first that does not fit,
/// none is kept.
fn fitting<T: Serialize>(items: Vec<T>, left: &mut usize, left_out: &mut usize) -> Vec<T> {
    let count = items.len();
    let kept = items.into_iter().map_while(|item| {
        let size = serde_json::to_vec(&item).map_or(usize::MAX, |json| json.len());
        // With the comma after it.
        *left = left.checked_sub(size.saturating_add(1))?;
        Some(item)
    });
    let kept: Vec<T> = kept.collect();
    *left_out = left_out.saturating_add(count.saturating_sub(kept.len()));
    kept
}

/// Cuts a text to `max` bytes, at the end of a character.
fn cut(text: &mut String, max: usize) {
    text.truncate(text.floor_char_boundary(max));
}

#[cfg(test)]
mod tests {
    use super::{super::*, *};

    fn long(bytes: usize) -> String {
        "é".repeat(bytes / 2)
    }

    /// Facts of which each text has `bytes` bytes, with `count` streams, tags and chapters.
    fn facts(bytes: usize, count: u32) -> MediaFacts {
        let text = || Some(long(bytes));
        let color = Color {
            range: text(),
            primaries: text(),
            transfer: text(),
            matrix: text(),
            mastering_peak: Some(f64::NAN),
            ..Color::default()
        };
        let video = VideoFacts {
            width: 640,
            height: 360,
            pixel_aspect: Rational::ONE,
            frame_rate: Rational::ONE,
            variable_rate: false,
            base_rate: None,
            rotation: 0,
            mirrored: false,
            pixel_format: long(bytes),
            bit_depth: 8,
            chroma: Chroma::Quarter,
            alpha: false,
            interlaced: false,
            bottom_first: false,
            color,
            keyframe_interval: Some(f64::INFINITY),
        };
        let audio = AudioFacts {
            channels: 2,
            layout: long(bytes),
            sample_rate: 48_000,
            sample_format: long(bytes),
            bit_depth: None,
        };
        let details = [StreamDetail::Video(Box::new(video)), StreamDetail::Audio(audio)];
        let stream = |index: u32, detail: &StreamDetail| StreamFacts {
            index,
            codec: long(bytes),
            profile: text(),
            language: text(),
            title: text(),
            dispositions: vec![long(bytes); 40],
            program: None,
            duration: Some(u64::MAX),
            start: Some(0),
            bitrate: None,
            packets: None,
            unusable: None,
            detail: detail.clone(),
        };
        MediaFacts {
            format: long(bytes),
            streams: (0..count).zip(details.iter().cycle()).map(|(n, d)| stream(n, d)).collect(),
            chapters: (0..count).map(|_| Chapter { start: 0, end: 1, title: text() }).collect(),
            tags: (0..count).map(|n| (format!("{n}{}", long(bytes)), long(bytes))).collect(),
            notes: vec![long(bytes); 5],
            ..MediaFacts::default()
        }
    }

    fn size(facts: &MediaFacts) -> usize {
        facts.shown().to_string().len()
    }

    #[test]
    fn facts_within_their_limits_are_unchanged() {
        let mut short = facts(20, 3);
        short.notes.clear();
        let streams = &mut short.streams;
        for stream in streams.iter_mut() {
            stream.dispositions.truncate(3);
            if let StreamDetail::Video(video) = &mut stream.detail {
                (video.color.mastering_peak, video.keyframe_interval) = (Some(1_000.0), None);
            }
        }
        assert_eq!(short.clone().within(FactsLimits::OF_UPLOAD), short);
    }

    #[test]
    fn any_facts_are_cut_to_their_limits_as_they_are_shown() {
        for (limits, max) in [(FactsLimits::OF_UPLOAD, 64), (FactsLimits::OF_PROBE, 260)] {
            for (bytes, count) in
                [(100, 1_000), (1_000, 100), (20_000, 4), (200_000, 1), (4, 20_000)]
            {
                let within = facts(bytes, count).within(limits);
                let size = size(&within);
                assert!(size <= max * 1_024, "{size} bytes for {count} of {bytes} bytes");
                assert!(!within.streams.is_empty(), "{count} of {bytes} bytes");
            }
        }
    }

    #[test]
    fn what_is_left_out_is_noted() {
        let mut many = facts(100, 1_000);
        many.notes.clear();
        many.streams.clear();
        let within = many.within(FactsLimits::OF_PROBE);
        let (tags, chapters) = (within.tags.len(), within.chapters.len());
        assert!((1..1_000).contains(&tags), "{tags}");
        let expected = format!(
            "left out because there are too many: {} tags, {} chapters",
            1_000 - tags,
            1_000 - chapters
        );
        assert_eq!(within.notes, [expected]);
        assert_eq!(within.shown()["notes"][0], within.notes[0]);
        let again = within.clone().within(FactsLimits::OF_PROBE);
        assert_eq!(again, within);
    }
}
