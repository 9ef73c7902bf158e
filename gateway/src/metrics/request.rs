//! Requests to this gateway, by the semantic conventions for HTTP servers.

use std::{sync::Arc, time::Instant};

use opentelemetry::{KeyValue, Value};
use poem::http::{Method, StatusCode, Version};

use super::INSTRUMENTS;
use crate::{headers::Scheme, problem::Kind};

/// A request that is being answered; counted as active until it is dropped.
pub(crate) struct ActiveRequest {
    start: Instant,
    method: &'static str,
    scheme: &'static str,
    version: &'static str,
}

/// How a request was answered.
pub(crate) struct Answered {
    /// The template of its path; none if no path of the API matches.
    pub(crate) route: Option<Arc<str>>,
    pub(crate) status: StatusCode,
    pub(crate) problem: Option<Kind>,
    /// True if the client asked to wait for the end of a job: `Prefer: wait`.
    pub(crate) waited: bool,
}

impl ActiveRequest {
    pub(crate) fn begin(method: &Method, version: Version, scheme: Scheme) -> Self {
        let this = Self {
            start: Instant::now(),
            method: known_method(method),
            scheme: scheme.as_str(),
            version: if version == Version::HTTP_2 { "2" } else { "1.1" },
        };
        INSTRUMENTS.active_requests.add(1, &this.labels());
        this
    }

    fn labels(&self) -> [KeyValue; 2] {
        [
            KeyValue::new("http.request.method", self.method),
            KeyValue::new("url.scheme", self.scheme),
        ]
    }

    pub(crate) fn answered(self, answered: Answered) {
        let Answered { route, status, problem, waited } = answered;
        if let Some(problem) = problem {
            INSTRUMENTS.problems.add(1, &[KeyValue::new("problem", problem.slug())]);
        }
        let [method, scheme] = self.labels();
        let mut labels = Vec::with_capacity(7);
        labels.extend([
            method,
            scheme,
            KeyValue::new("network.protocol.version", self.version),
            KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
        ]);
        labels.extend(route.map(|route| KeyValue::new("http.route", Value::String(route.into()))));
        if status.is_server_error() {
            let error = problem.map_or("internal", Kind::slug);
            labels.push(KeyValue::new("error.type", error));
        }
        if waited {
            labels.push(KeyValue::new("ffapi.waited", true));
        }
        INSTRUMENTS.requests.record(self.start.elapsed().as_secs_f64(), &labels);
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        INSTRUMENTS.active_requests.add(-1, &self.labels());
    }
}

/// The method, if it is one of HTTP's; its text may be anything.
pub(crate) fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
