//! Subtitles and texts as people have them: any encoding, any script, fonts of their own.

use std::fs;

use ffapi_domain::{
    Personal,
    media::{Operation, Position, SubtitleMode, Subtitles, Text},
};

use crate::{
    harness::{Slot, ffmpeg, notes, report},
    unusual_inputs::{fast, generate},
};

#[test]
fn subtitles_of_any_encoding_are_read() {
    let text = "1\n00:00:00,500 --> 00:00:01,500\nCafé naïve\n";
    let latin: Vec<u8> = text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16: Vec<u8> =
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect();
    let damaged =
        [text.as_bytes(), b"\n2\n00:00:01,600 --> 00:00:01,900\nbroken \xff byte\n"].concat();
    for bytes in [latin, utf16, damaged, text.replace('\n', "\r").into_bytes()] {
        let slot = generate("-f lavfi -i color=gray:s=160x90:d=2 -c:v libx264 -f mp4");
        fs::write(slot.extra(1), &bytes).unwrap();
        let sidecar = Operation::Subtitles(Subtitles {
            input: Some(Personal::Erased),
            mode: SubtitleMode::Sidecar,
            language: None,
        });
        let messages = slot.convert("o.mp4", vec![sidecar, fast()]);
        let name = &report(&messages).files[1].name;
        let found = fs::read_to_string(slot.output(name)).unwrap();
        assert!(found.contains("Café naïve"), "{found}");
    }
}

#[test]
fn text_of_other_scripts_is_drawn_and_missing_characters_are_noted() {
    let draw = |text: &str| {
        let slot = generate("-f lavfi -i color=gray:s=160x90:r=5:d=1 -c:v libx264 -f mp4");
        let text = Operation::Text(Text {
            text: Personal::Clear(text.to_owned()),
            position: Position::Center,
            size: Some(40),
            color: None,
            margin: None,
            start: None,
            end: None,
        });
        let messages = slot.convert("o.png", vec![text]);
        (notes(&messages), fs::read(slot.output("o.png")).unwrap())
    };
    let ((no_notes, one), (_, other)) = (draw("日"), draw("한"));
    assert_eq!(no_notes, "");
    assert_ne!(one, other);
    let (note, _) = draw("\u{10fffd}");
    assert!(note.contains("no installed font has these characters"), "{note}");
}

#[test]
fn fonts_that_are_attached_to_the_input_draw_its_subtitles() {
    let slot = Slot::new();
    let draw = |font: Option<&str>| {
        let ass = slot.output("font.ass");
        let style = "Style: Default,Nowhere SansMono,60,&H00FFFFFF,&H00FFFFFF,&H00000000,&H00000000,0,0,0,0,100,100,0,0,1,0,0,5,0,0,0,1";
        fs::write(&ass, format!("[Script Info]\nPlayResX: 320\nPlayResY: 180\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n{style}\n\n[Events]\nFormat: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\nDialogue: 0,0:00:00.00,0:00:02.00,Default,,0,0,0,,Wig\n")).unwrap();
        let attach = font.map_or(String::new(), |font| {
            format!("-attach {font} -metadata:s:t mimetype=application/x-truetype-font -metadata:s:t filename=f.ttf")
        });
        ffmpeg(&format!(
            "-y -f lavfi -i color=gray:s=320x180:r=5:d=2 -i {} -map 0 -map 1 -c:v libx264 -c:s ass {attach} -f matroska {}",
            ass.display(),
            slot.input().display()
        ));
        let burn = Operation::Subtitles(Subtitles {
            input: None,
            mode: SubtitleMode::Burn,
            language: None,
        });
        report(&slot.convert("o.png", vec![burn]));
        let image = fs::read(slot.output("o.png")).unwrap();
        slot.clear();
        image
    };
    // A font under another name, so that it is not found among the installed ones.
    let installed = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono-Bold.ttf";
    let mut font = fs::read(installed).unwrap();
    for (old, new) in
        [("DejaVu Sans Mono", "Nowhere SansMono"), ("DejaVuSansMono", "NowhereSansMon")]
    {
        let wide = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>();
        for (old, new) in
            [(old.as_bytes().to_vec(), new.as_bytes().to_vec()), (wide(old), wide(new))]
        {
            while let Some(at) = font.windows(old.len()).position(|window| window == old) {
                font[at..at + new.len()].copy_from_slice(&new);
            }
        }
    }
    let renamed = slot.input().with_file_name("renamed.ttf");
    fs::write(&renamed, font).unwrap();
    assert_ne!(draw(None), draw(renamed.to_str()));
}
