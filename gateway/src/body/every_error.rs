//! Finds every wrong field of a request. Its parsers stop at the first one; here each wrong field is replaced
//! by something that they accept, until they find no other.

use serde_json::{Map, Value, json};

use crate::problem::Problem;

/// Maximum size of a body of which every error is looked for, in bytes of JSON.
const MAX_BYTES: usize = 64 * 1024;
/// Maximum number of errors that are looked for.
const MAX_ERRORS: usize = 20;

/// Runs a check of JSON. If it finds an error, the problem has this one and those that the check finds in
/// the other fields.
pub(crate) fn every_error<T>(
    json: Value,
    prefix: &str,
    check: impl Fn(Value) -> Result<T, Problem>,
) -> Result<T, Problem> {
    let first = match check(json.clone()) {
        Ok(checked) => return Ok(checked),
        Err(problem) => problem,
    };
    if json.to_string().len() > MAX_BYTES {
        return Err(first);
    }
    let mut repaired = Repaired { json, prefix, check: |json| check(json).map(|_| ()) };
    let mut problems = vec![first];
    while let Some(next) = repaired.next_problem(&problems) {
        problems.push(next);
        if problems.len() >= MAX_ERRORS {
            break;
        }
    }
    Problem::all(problems).map_or_else(|| check(Value::Null), Err)
}

/// A request of which the fields with the errors so far are replaced.
struct Repaired<'a, C> {
    json: Value,
    /// What the pointers of its errors begin with, like `/operations/3`.
    prefix: &'a str,
    check: C,
}

impl<C: Fn(Value) -> Result<(), Problem>> Repaired<'_, C> {
    /// Replaces the field of the last problem, so that the check gets beyond it; the problem that it finds
    /// there, in a field that none of the others is about.
    fn next_problem(&mut self, problems: &[Problem]) -> Option<Problem> {
        let pointer = self.within(problems.last()?.pointer()?)?.to_owned();
        for candidate in candidates(&self.json, &pointer) {
            let Err(next) = (self.check)(candidate.clone()) else { return None };
            let Some(found) = next.pointer().and_then(|found| self.within(found)) else { continue };
            let is_other = |known: &Problem| {
                let known = known.pointer().and_then(|known| self.within(known));
                known.is_some_and(|known| !is_at(found, known))
            };
            if problems.iter().all(is_other) {
                self.json = candidate;
                return Some(next);
            }
        }
        None
    }

    fn within<'p>(&self, pointer: &'p str) -> Option<&'p str> {
        pointer.strip_prefix('#')?.strip_prefix(self.prefix)
    }
}

/// True if a pointer is another one, or to something within it.
fn is_at(pointer: &str, other: &str) -> bool {
    pointer.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The request with the field at a pointer absent, or with other values; at last without the member of the
/// request that it is in.
fn candidates(json: &Value, pointer: &str) -> Vec<Value> {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return vec![] };
    let name = name.replace("~1", "/").replace("~0", "~");
    let change = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut changed = json.clone();
        change(changed.pointer_mut(parent)?.as_object_mut()?);
        Some(changed)
    };
    let removed = change(&|fields| _ = fields.remove(&name));
    let values = [json!("a.mp4"), json!(2), json!(true), json!([]), json!({})];
    let replaced = values
        .into_iter()
        .filter_map(|value| change(&|fields| _ = fields.insert(name.clone(), value.clone())));
    let mut without = json.clone();
    let member = pointer.split('/').nth(1).unwrap_or_default();
    let without =
        without.as_object_mut().and_then(|fields| fields.remove(member)).map(|_| without.clone());
    removed.into_iter().chain(replaced).chain(without).collect()
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
        let all = json!({ "nome": "a", "size": "x", "tags": [1], "inner": { "on": 1, "of/f": 2 } });
        let mut found = pointers(all);
        found.sort();
        assert_eq!(
            found,
            ["#/inner/of~1f", "#/inner/on", "#/name", "#/nome", "#/size", "#/tags/0"]
        );
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
