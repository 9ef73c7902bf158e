//! The paths of the API: the methods that each supports, for the `Allow` header, its template, for metrics,
//! and its query parameters.

use std::{collections::BTreeMap, sync::Arc};

use percent_encoding::percent_decode_str;
use poem::http::Method;
use serde_json::Value;

use crate::problem::Problem;

/// The paths of the OpenAPI document.
#[derive(Debug, Default)]
pub(crate) struct ApiPaths {
    paths: Vec<KnownPath>,
}

#[derive(Debug)]
struct KnownPath {
    template: Arc<str>,
    segments: Vec<String>,
    /// Its methods as the header's value.
    methods: String,
    /// The names of the query parameters of each method.
    parameters: BTreeMap<String, Vec<String>>,
}

/// Begins the names of query parameters that filter by a label.
pub(crate) const LABEL: &str = "metadata.";
/// The query parameters that every operation accepts: a token, and a number that some clients add to bypass
/// caches.
const ANYWHERE: [&str; 2] = ["token", "_"];

/// Resumes an event stream, as the header `Last-Event-ID` does.
pub(crate) const LAST_EVENT_ID: &str = "lastEventId";

/// Paths that need no credentials; also below `/api/v1`.
pub(crate) const OPEN_PATHS: [&str; 8] = [
    "/",
    "/livez",
    "/readyz",
    "/health",
    "/health/ready",
    "/docs",
    "/openapi.json",
    "/asyncapi.json",
];
/// Further paths beside the API, with their templates.
const OTHER_PATHS: [&str; 2] = ["/api/v1/docs", "/errors/{slug}"];

impl ApiPaths {
    pub(crate) fn of(document: &Value) -> Self {
        let paths = document.get("paths").and_then(Value::as_object);
        let paths = paths.into_iter().flatten().map(|(path, operations)| {
            let operations = operations.as_object().into_iter().flatten();
            let mut methods: Vec<String> =
                operations.clone().map(|(method, _)| method.to_uppercase()).collect();
            if methods.iter().any(|method| method == "GET") {
                methods.push("HEAD".to_owned());
            }
            methods.sort_unstable();
            let parameters = operations.clone();
            let parameters =
                parameters.map(|(method, it)| (method.to_uppercase(), query_parameters(it)));
            KnownPath {
                parameters: parameters.collect(),
                ..KnownPath::new(path, methods.join(", "))
            }
        });
        let others = OPEN_PATHS.iter().chain(&OTHER_PATHS);
        let others = others.map(|path| KnownPath::new(path, "GET, HEAD".to_owned()));
        Self { paths: paths.chain(others).collect() }
    }

    /// The methods of a path; that with the fewest parameters, if several match.
    pub(crate) fn at(&self, path: &str) -> Option<&str> {
        self.matching(path).map(|known| known.methods.as_str())
    }

    /// The template of a path, like `/api/v1/jobs/{id}`.
    pub(crate) fn template(&self, path: &str) -> Option<Arc<str>> {
        self.matching(path).map(|known| Arc::clone(&known.template))
    }

    /// Rejects a query parameter that the operation does not have. The URL of a file may have any: caches
    /// tell files apart by them; and so may that of a health check.
    pub(crate) fn check_query(
        &self,
        method: &Method,
        path: &str,
        query: Option<&str>,
    ) -> Result<(), Problem> {
        let Some(known) = self.matching(path).filter(|known| !known.takes_any_query()) else {
            return Ok(());
        };
        let method = if method == Method::HEAD { Method::GET.as_str() } else { method.as_str() };
        let Some(parameters) = known.parameters.get(method) else { return Ok(()) };
        let names = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let names = names.map(|pair| {
            let name = pair.split('=').next().unwrap_or_default();
            percent_decode_str(name).decode_utf8_lossy()
        });
        let filters_by_label = known.template.ends_with("/jobs");
        let is_known = |name: &str| {
            ANYWHERE.contains(&name)
                || (name == LAST_EVENT_ID && known.template.ends_with("/events"))
                || parameters.iter().any(|known| known == name)
                || (filters_by_label && name.starts_with(LABEL))
        };
        let Some(unknown) = names.into_iter().find(|name| !is_known(name)) else { return Ok(()) };
        let mut available: Vec<String> =
            parameters.iter().map(|name| format!("`{name}`")).collect();
        if filters_by_label {
            available.push(format!("`{LABEL}<name>`"));
        }
        let detail = match available.as_slice() {
            [] => format!("there is no parameter `{unknown}` here; there is none"),
            all => format!("there is no parameter `{unknown}` here; there are {}", all.join(", ")),
        };
        Err(Problem::parameter(&unknown, detail))
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
        Self { template: template.into(), segments, methods, parameters: BTreeMap::new() }
    }

    /// True for an output file, and for probes of the service's health.
    fn takes_any_query(&self) -> bool {
        self.template.contains("/outputs/{") || self.template.contains("/health")
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

/// The names of the query parameters of an operation.
fn query_parameters(operation: &Value) -> Vec<String> {
    let all = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let in_query =
        all.filter(|parameter| parameter.get("in").is_some_and(|location| location == "query"));
    in_query.filter_map(|parameter| Some(parameter.get("name")?.as_str()?.to_owned())).collect()
}

fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.trim_start_matches('/').split('/')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_parameter_that_an_operation_does_not_have_is_rejected() {
        let parameter = |name: &str| json!({ "in": "query", "name": name });
        let paths = ApiPaths::of(&json!({ "paths": {
            "/api/v1/jobs": { "get": { "parameters": [parameter("limit"), parameter("status")] },
                              "post": { "parameters": [{ "in": "header", "name": "Prefer" }] } },
            "/api/v1/jobs/{id}/outputs/{name}": { "get": { "parameters": [parameter("download")] } },
        } }));
        let check = |method: Method, path: &str, query: &str| {
            paths.check_query(&method, path, Some(query)).err().map(|problem| problem.to_string())
        };
        for query in [
            "",
            "limit=1&status=queued",
            "token=x&_=1764500000",
            "metadata.team=red",
            "metadata%2Eteam=red&%6cimit=1",
            "&limit=1&",
        ] {
            assert_eq!(check(Method::GET, "/api/v1/jobs", query), None, "{query}");
        }
        let found = check(Method::HEAD, "/api/v1/jobs", "limit=1&foo=2").unwrap();
        assert!(found.contains("`foo`") && found.contains("`limit`, `status`, `metadata.<name>`"));
        assert!(check(Method::POST, "/api/v1/jobs", "limit=1").is_some());
        for (method, path) in [
            (Method::GET, "/api/v1/jobs/job_1/outputs/a.mp4"),
            (Method::GET, "/docs"),
            (Method::PUT, "/api/v1/jobs"),
        ] {
            assert_eq!(check(method, path, "v=1"), None, "{path}");
        }
    }

    #[test]
    fn the_most_specific_path_counts() {
        let methods = ApiPaths::of(&json!({ "paths": {
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
        assert_eq!((methods.at("/livez"), methods.template("/lively")), (Some("GET, HEAD"), None));
    }
}
