//! The filter by labels: a query parameter for each label, whose name no list of parameters can have.

use serde_json::{Value, json};

use super::set::{operation_at, parameters_of};
use crate::api_paths::LABEL;

/// The lists that are filtered by labels.
const FILTERED: [&str; 2] = ["/api/v1/jobs", "/api/v1/batch/{id}/jobs"];

/// Adds the filter to the lists: an object, each property of which is a parameter of its own.
pub(super) fn describe(document: &mut Value) {
    let filter = json!({
        "name": "metadata", "in": "query", "required": false, "style": "form", "explode": true,
        "description": format!(
            "Only jobs with these labels in `metadata`: a parameter `{LABEL}<name>=<value>` for each label."
        ),
        "schema": {
            "type": "object",
            "propertyNames": { "pattern": format!("^{}", LABEL.replace('.', "\\.")) },
            "additionalProperties": { "type": "string" },
        },
        "example": { format!("{LABEL}user"): "42" },
    });
    for path in FILTERED {
        let list = operation_at(document, path, "get");
        if let Some(parameters) = list.and_then(parameters_of) {
            parameters.push(filter.clone());
        }
    }
}
