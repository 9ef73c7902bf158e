//! `Upload-Metadata`: pairs of a key and a value in base64, separated by commas.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::problem::{Kind, Problem};

/// The longest header, in bytes.
const MAX_BYTES: usize = 4096;

/// The file's name, as the usual clients send it; none if there is none.
pub(super) fn file_name(metadata: &str) -> Result<Option<String>, Problem> {
    let malformed = |detail: &str| Problem::header(Kind::Malformed, "Upload-Metadata", detail);
    if metadata.len() > MAX_BYTES {
        return Err(malformed("it is longer than 4096 bytes"));
    }
    let mut name = None;
    for pair in metadata.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once(' ').unwrap_or((pair, ""));
        let value = STANDARD
            .decode(value.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| malformed("a value is not text in base64"))?;
        if value.chars().any(char::is_control) {
            return Err(malformed("a value has a control character"));
        }
        // Uppy sends both.
        if key == "filename" || (key == "name" && name.is_none()) {
            name = Some(value);
        }
    }
    Ok(name.filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_found_whichever_key_it_has() {
        let name = |metadata: &str| file_name(metadata).unwrap();
        assert_eq!(
            name("filename Y2Fmw6kubXA0,filetype dmlkZW8vbXA0").as_deref(),
            Some("café.mp4")
        );
        assert_eq!(name("name Yi5tcDQ=, is_public").as_deref(), Some("b.mp4"));
        assert_eq!(
            name("relativePath bnVsbA==,name Yi5tcDQ=,filename YS5tcDQ=").as_deref(),
            Some("a.mp4")
        );
        assert_eq!(name(""), None);
        for bad in ["filename %%", "filename AAA=", "filename //4="] {
            assert!(file_name(bad).is_err(), "{bad}");
        }
    }
}
