//! Media requests as clients send them, and their conversion to domain types.

mod input_location;
mod operation;
mod output_location;
mod plan;
mod settings;
mod stream_parts;
pub(crate) mod value;

use ffapi_domain::media::Overwrite;
use poem_openapi::Enum;
use serde::{Deserialize, Serialize};

pub(crate) use self::{
    input_location::InputLocation,
    operation::{OperationBody, OperationJson, operations},
    output_location::{OutputLocation, overwrite_at},
    plan::PlanBody,
    settings::SettingsBody,
    stream_parts::{CaptionBody, PosterBody, SpriteBody, VariantBody},
};

/// What is shown instead of what was erased with its tenant's data, where a value is required.
const ERASED: &str = "erased";

/// What to do if the output already exists.
#[derive(Debug, Clone, Copy, Deserialize, Serialize, Enum)]
#[serde(rename_all = "snake_case")]
#[oai(rename_all = "snake_case", rename = "Overwrite")]
pub(crate) enum OverwriteWord {
    Fail,
    Replace,
}

/// The overwrite policy of a request; the default is never to replace.
pub(crate) const fn overwrite(word: Option<OverwriteWord>) -> Overwrite {
    match word {
        None | Some(OverwriteWord::Fail) => Overwrite::Fail,
        Some(OverwriteWord::Replace) => Overwrite::Replace,
    }
}
