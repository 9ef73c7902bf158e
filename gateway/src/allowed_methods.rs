//! The paths of the API: the methods that each supports, for the `Allow` header, and its template, for
//! metrics.

use std::sync::Arc;

use serde_json::Value;

/// The paths of the OpenAPI document.
#[derive(Debug, Default)]
pub(crate) struct AllowedMethods {
    paths: Vec<KnownPath>,
}

#[derive(Debug)]
struct KnownPath {
    template: Arc<str>,
    segments: Vec<String>,
    /// Its methods as the header's value; empty for a path that is not in the document.
    methods: String,
}

/// Paths beside the API, with their templates.
const OTHER_PATHS: [&str; 10] = [
    "/",
    "/livez",
    "/readyz",
    "/health",
    "/health/ready",
    "/docs",
    "/openapi.json",
    "/asyncapi.json",
    "/api/v1/docs",
    "/errors/{slug}",
];

impl AllowedMethods {
    pub(crate) fn of(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object);
        let paths = paths.into_iter().flatten().map(|(path, operations)| {
            let operations = operations.as_object().into_iter().flatten();
            let mut methods: Vec<String> =
                operations.map(|(method, _)| method.to_uppercase()).collect();
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            methods.sort_unstable();
            KnownPath::new(path, methods.join(", "))
        });
        let others = OTHER_PATHS.iter().map(|path| KnownPath::new(path, String::new()));
        Self { paths: paths.chain(others).collect() }
    }

    /// The methods of a path; that with the fewest parameters, if several match.
    pub(crate) fn at(&self, path: &str) -> Option<&str> {
        let methods = self.matching(path)?.methods.as_str();
        (!methods.is_empty()).then_some(methods)
    }

    /// The template of a path, like `/api/v1/jobs/{id}`.
    pub(crate) fn template(&self, path: &str) -> Option<Arc<str>> {
        self.matching(path).map(|known| Arc::clone(&known.template))
    }

    fn matching(&self, path: &str) -> Option<&KnownPath> {
        self.paths.iter().filter(|known| known.matches(path)).min_by_key(|known| {
            known.segments.iter().filter(|segment| segment.starts_with('{')).count()
        })
    }
}

impl KnownPath {
    fn new(template: &str, methods: String) -> Self {
        let segments = segments(template).map(str::to_owned).collect();
        Self { template: template.into(), segments, methods }
    }

    fn matches(&self, path: &str) -> bool {
        let mut wanted = segments(path);
        let all_match = self.segments.iter().all(|known| {
            wanted.next().is_some_and(|wanted| {
                known == wanted || (known.starts_with('{') && !wanted.is_empty())
            })
        });
        all_match && wanted.next().is_none()
    }
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('/').split('/')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_most_specific_path_counts() {
        let methods = AllowedMethods::of(&json!({ "paths": {
            "/api/v1/jobs": { "get": {} },
            "/api/v1/jobs/{id}": { "get": {}, "delete": {} },
            "/api/v1/jobs/stats": { "post": {} },
        } }));
        assert_eq!(methods.at("/api/v1/jobs"), Some("GET, HEAD"));
        assert_eq!(methods.at("/api/v1/jobs/job_1"), Some("DELETE, GET, HEAD"));
        assert_eq!(methods.at("/api/v1/jobs/stats"), Some("POST"));
        assert_eq!(methods.at("/api/v1/other"), None);
        assert_eq!(methods.at("/api/v1/jobs/"), None);
        assert_eq!(methods.template("/api/v1/jobs/job_1").as_deref(), Some("/api/v1/jobs/{id}"));
        assert_eq!(methods.template("/api/v1/jobs/stats").as_deref(), Some("/api/v1/jobs/stats"));
        assert_eq!(methods.template("/livez").as_deref(), Some("/livez"));
        assert_eq!((methods.at("/livez"), methods.template("/lively")), (None, None));
    }
}
