//! Finds every wrong field of a request. Its parsers stop at the first one; here each wrong field is replaced
//! by something that they accept, until they find no other.

use std::cell::Cell;

use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// Maximum number of errors that are looked for.
const MAX_ERRORS: usize = 20;
/// Maximum size of all variants that are checked for one request, in bytes of JSON: looking for further
/// errors takes no more time than some larger requests.
const MAX_BYTES: usize = 1024 * 1024;
/// What a check costs at least, in bytes.
const MIN_BYTES: usize = 1024;

thread_local! {
    /// True while further errors are looked for: the checks of parts do not look for theirs again.
    static IS_LOOKING: Cell<bool> = const { Cell::new(false) };
    /// What is left to the request that is being read; `None` outside of one.
    static BYTES_LEFT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// How much one request may still cost to look for further errors in it, with all of its parts.
#[derive(Debug)]
pub(crate) struct SearchBudget {
    bytes: usize,
}

impl SearchBudget {
    pub(crate) const fn of_request() -> Self {
        Self { bytes: MAX_BYTES }
    }

    /// Reads a part of the request: what looks for further errors in it spends this budget.
    pub(crate) fn within<T>(&mut self, read: impl FnOnce() -> T) -> T {
        let installed = Installed { budget: self, before: BYTES_LEFT.get() };
        BYTES_LEFT.set(Some(installed.budget.bytes));
        read()
    }
}

/// While it lives, a budget is that of the thread.
struct Installed<'b> {
    budget: &'b mut SearchBudget,
    before: Option<usize>,
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        self.budget.bytes = BYTES_LEFT.replace(self.before).unwrap_or(0);
    }
}

/// Takes the cost of a check of so many bytes; false if too little is left.
fn spend(bytes: usize) -> bool {
    let left = BYTES_LEFT.get().unwrap_or(0).checked_sub(bytes.max(MIN_BYTES));
    BYTES_LEFT.set(Some(left.unwrap_or(0)));
    left.is_some()
}

/// Runs a check of JSON. If it finds an error, the problem has this one and those that the check finds in
/// the other fields.
pub(crate) fn every_error<T>(
    json: Value,
    prefix: &str,
    check: impl Fn(Value) -> Result<T, Problem>,
) -> Result<T, Problem> {
    if IS_LOOKING.get() {
        return check(json);
    }
    if BYTES_LEFT.get().is_none() {
        return SearchBudget::of_request().within(|| every_error(json, prefix, check));
    }
    let mut known = match check(json.clone()) {
        Ok(checked) => return Ok(checked),
        Err(problem) => problem,
    };
    let size = json.to_string().len();
    let mut search = Search { json, prefix, check: |json| check(json).map(|_| ()), size };
    let looking = Looking::begin();
    for _ in 1..MAX_ERRORS {
        let Some(next) = search.next_problem(&known) else { break };
        known = known.and([next]);
    }
    drop(looking);
    Err(known)
}

/// While it lives, further errors are looked for.
struct Looking;

impl Looking {
    fn begin() -> Self {
        IS_LOOKING.set(true);
        Self
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        IS_LOOKING.set(false);
    }
}

/// A request of which the fields with the errors so far are replaced.
struct Search<'a, C> {
    json: Value,
    /// What the pointers of its errors begin with, like `/operations/3`.
    prefix: &'a str,
    check: C,
    /// Bytes of JSON.
    size: usize,
}

/// What takes the place of a wrong field.
enum Replacement {
    Nothing,
    Value(Value),
    /// Nothing, for the member of the request that it is in.
    NoMember,
}

impl<C: Fn(Value) -> Result<(), Problem>> Search<'_, C> {
    /// Replaces the field of the last problem so that the check gets beyond it; the problem that it finds
    /// there. All replacements that get beyond it must lead to a problem with the same field: one that only
    /// some of them lead to is due to the replacement.
    fn next_problem(&mut self, known: &Problem) -> Option<Problem> {
        let last = known.pointers().next_back()?.to_owned();
        let pointer = self.within(&last)?.to_owned();
        let mut next: Option<(Problem, Value)> = None;
        for replacement in replacements() {
            if next.is_some() && matches!(replacement, Replacement::NoMember) {
                break;
            }
            let Some(json) = replaced(&self.json, &pointer, replacement) else { continue };
            if !spend(self.size) {
                return None;
            }
            let Err(found) = (self.check)(json.clone()) else { return None };
            if found.pointers().any(|pointer| self.is_known(pointer, known)) {
                continue;
            }
            match &next {
                Some((other, _)) if !other.pointers().eq(found.pointers()) => return None,
                Some(_) => {}
                None => next = Some((found, json)),
            }
        }
        let (found, json) = next?;
        self.json = json;
        Some(found)
    }

    /// True if an error is about a field that is wrong already, or about one within it or around it, which
    /// may be due to the replacement; also if that cannot be determined.
    fn is_known(&self, pointer: &str, known: &Problem) -> bool {
        let Some(pointer) = self.within(pointer) else { return true };
        let mut known = known.pointers();
        let is_near = |known: &str| is_at(pointer, known) || is_at(known, pointer);
        known.any(|known| self.within(known).is_none_or(is_near))
    }

    fn within<'p>(&self, pointer: &'p str) -> Option<&'p str> {
        pointer.strip_prefix('#')?.strip_prefix(self.prefix)
    }
}

/// True if a pointer is another one, or to something within it.
fn is_at(pointer: &str, other: &str) -> bool {
    pointer.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn replacements() -> impl Iterator<Item = Replacement> {
    let values = [
        json!("a"),
        json!("a.mp4"),
        json!("https://example.com/"),
        json!(2),
        // A side in pixels.
        json!(240),
        json!(true),
        json!([]),
        json!({}),
    ];
    let values = values.into_iter().map(Replacement::Value);
    let nothing = std::iter::once(Replacement::Nothing);
    // First what a required field may be: that it is missing would be found after everything else.
    values.chain(nothing).chain(std::iter::once(Replacement::NoMember))
}

/// The request with something else at a pointer; none if there is nothing to be replaced.
fn replaced(json: &Value, pointer: &str, replacement: Replacement) -> Option<Value> {
    let (parent, name) = pointer.rsplit_once('/')?;
    let name = name.replace("~1", "/").replace("~0", "~");
    let mut changed = json.clone();
    let fields = |parent: &mut Value| parent.as_object_mut().map(std::mem::take);
    match replacement {
        Replacement::Nothing => {
            changed.pointer_mut(parent)?.as_object_mut()?.remove(&name)?;
        }
        Replacement::Value(value) => {
            let parent = changed.pointer_mut(parent)?;
            let mut all: Map<String, Value> = fields(parent)?;
            all.insert(name, value);
            *parent = Value::Object(all);
        }
        Replacement::NoMember => {
            let member = pointer.split('/').nth(1)?;
            changed.as_object_mut()?.remove(member)?;
        }
    }
    Some(changed)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{body::parse, problem::Kind};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Body {
        name: String,
        size: u32,
        #[serde(default)]
        tags: Vec<String>,
        inner: Option<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Inner {
        on: bool,
    }

    fn pointers(json: Value) -> Vec<String> {
        let read = every_error(json, "", |json| {
            let body: Body = parse(json, "")?;
            if body.size == 7 {
                return Err(Problem::field(Kind::Invalid, "#/size", "7 is not a size"));
            }
            if body.tags.iter().any(String::is_empty) {
                return Err(Problem::field(Kind::Invalid, "#/tags", "a tag has characters"));
            }
            Ok(())
        });
        read.err().iter().flat_map(Problem::pointers).map(str::to_owned).collect()
    }

    #[test]
    fn every_wrong_field_is_found() {
        assert!(pointers(json!({ "name": "a", "size": 1 })).is_empty());
        let required = json!({ "name": 5, "size": 7, "unknown": 1, "tags": [""] });
        assert_eq!(pointers(required), ["#/name", "#/unknown", "#/size", "#/tags"]);
        let all = json!({ "nome": "a", "size": "x", "tags": [1], "inner": { "on": 1, "of/f": 2 } });
        let mut found = pointers(all);
        found.sort();
        assert_eq!(
            found,
            ["#/inner/of~1f", "#/inner/on", "#/name", "#/nome", "#/size", "#/tags/0"]
        );
    }

    #[test]
    fn an_error_that_only_a_replacement_causes_is_not_reported() {
        // `b` needs `a`, which is wrong: without it, `b` would be.
        let check = |json: Value| match (json.get("a"), json.get("b")) {
            (Some(a), _) if *a != "https://example.com/" => {
                Err(Problem::field(Kind::Invalid, "#/a", "no URL"))
            }
            (None, Some(_)) => Err(Problem::field(Kind::Invalid, "#/b", "it needs `a`")),
            _ => Ok(()),
        };
        let problem = every_error(json!({ "a": 1, "b": 1 }), "", check).unwrap_err();
        assert_eq!(problem.pointers().collect::<Vec<_>>(), ["#/a"]);
    }

    #[test]
    fn a_large_request_is_checked_a_few_times_only() {
        let checks = Cell::new(0);
        let fields = (0..20).map(|n| (format!("field{n}"), json!("x".repeat(10_000))));
        let body = Value::Object(fields.collect());
        let problem = every_error(body, "", |json| {
            checks.set(checks.get() + 1);
            let mut names = json.as_object().unwrap().keys();
            let name = names.next().map_or(String::new(), |name| format!("#/{name}"));
            Err::<(), _>(Problem::field(Kind::Invalid, &name, "unknown"))
        });
        assert!(problem.is_err());
        assert!(checks.get() <= 1 + MAX_BYTES / 200_000, "{}", checks.get());
    }

    #[test]
    fn the_errors_of_a_part_are_looked_for_once() {
        let checks = Cell::new(0);
        let part = |json: Value| {
            checks.set(checks.get() + 1);
            let wrong = json.as_object().and_then(|part| part.keys().next().cloned());
            wrong.map_or(Ok(()), |name| {
                Err(Problem::field(Kind::Invalid, &format!("#/part/{name}"), "unknown"))
            })
        };
        let check = |json: Value| {
            every_error(json["part"].clone(), "/part", part)?;
            match json.get("other") {
                Some(_) => Err(Problem::field(Kind::Invalid, "#/other", "unknown")),
                None => Ok(()),
            }
        };
        let body = json!({ "part": { "a": 1, "b": 1, "c": 1 }, "other": 1 });
        let problem = every_error(body, "", check).unwrap_err();
        let found: Vec<&str> = problem.pointers().collect();
        assert_eq!(found, ["#/part/a", "#/part/b", "#/part/c", "#/other"]);
        assert!(checks.get() < 60, "{}", checks.get());
    }

    #[test]
    fn all_parts_of_a_request_share_one_budget() {
        let checks = Cell::new(0);
        let part: Value = (0..20).map(|n| (format!("field{n}"), json!(0))).collect();
        let read = || {
            every_error(part.clone(), "", |json| {
                checks.set(checks.get() + 1);
                let mut names = json.as_object().unwrap().keys();
                let name = names.next().map_or(String::new(), |name| format!("#/{name}"));
                Err::<(), _>(Problem::field(Kind::Invalid, &name, "unknown"))
            })
        };
        let mut budget = SearchBudget::of_request();
        let parts = 200;
        for _ in 0..parts {
            assert!(budget.within(read).is_err());
        }
        assert!(checks.get() <= parts + MAX_BYTES / MIN_BYTES, "{}", checks.get());
        assert_eq!(BYTES_LEFT.get(), None);
        // The next request has its own.
        checks.set(0);
        assert!(read().unwrap_err().pointers().count() > 1);
    }

    #[test]
    fn errors_of_later_checks_are_found_too() {
        assert_eq!(pointers(json!({ "name": "a", "size": 7, "tags": [""] })), ["#/size", "#/tags"]);
        assert_eq!(pointers(json!({ "name": "a", "size": 7 })), ["#/size"]);
    }

    #[test]
    fn a_request_that_is_no_object_has_one_error() {
        for json in [json!([]), json!(1), json!(null)] {
            assert_eq!(pointers(json).len(), 1);
        }
    }
}
