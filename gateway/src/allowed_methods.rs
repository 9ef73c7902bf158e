//! The methods that each path supports, for the `Allow` header.

use serde_json::Value;

/// The paths of the OpenAPI document.
#[derive(Debug, Default)]
pub(crate) struct AllowedMethods {
    /// The segments of each path, and its methods as the header's value.
    paths: Vec<(Vec<String>, String)>,
}

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
            (segments(path).map(str::to_owned).collect(), methods.join(", "))
        });
        Self { paths: paths.collect() }
    }

    /// The methods of a path; that with the fewest parameters, if several match.
    pub(crate) fn at(&self, path: &str) -> Option<&str> {
        let wanted: Vec<&str> = segments(path).collect();
        let matching = self.paths.iter().filter(|(known, _)| {
            known.len() == wanted.len()
                && known.iter().zip(&wanted).all(|(known, wanted)| {
                    known == wanted || (known.starts_with('{') && !wanted.is_empty())
                })
        });
        let parameters = |(known, _): &&(Vec<String>, String)| {
            known.iter().filter(|s| s.starts_with('{')).count()
        };
        matching.min_by_key(parameters).map(|(_, methods)| methods.as_str())
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
    }
}
