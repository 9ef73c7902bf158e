//! The OpenAPI document is committed: a change of the API shows in review.

use std::path::Path;

#[test]
fn the_committed_document_is_what_the_gateway_serves() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api/openapi.json");
    let served: serde_json::Value = serde_json::from_str(&ffapi_gateway::openapi()).unwrap();
    let served = serde_json::to_string_pretty(&served).unwrap() + "\n";
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &served).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == served, "the API changed; `make docs` writes {}", path.display());
}

#[test]
fn every_problem_and_failure_is_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/errors.md");
    let explained = std::fs::read_to_string(path).unwrap();
    for kind in ffapi_gateway::ProblemKind::ALL {
        assert!(explained.contains(&format!("## {}\n", kind.slug())), "{}", kind.slug());
    }
    for code in ffapi_domain::job::FailureCode::ALL {
        assert!(explained.contains(&format!("| `{}` |", code.as_str())), "{}", code.as_str());
    }
}
