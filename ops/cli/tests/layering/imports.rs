//! The modules of the crate and what each of them imports, read from its source text.
//!
//! What counts as an import: a module imports the module that defines an item which it names, in a
//! `use` or in a path. A re-export is followed to the definition, and is no import of the module that
//! re-exports unless that names the item elsewhere; `mod child;` is no import. So a parent and its
//! child import each other only if the child names an item that the parent's own file defines, and
//! the parent names one of the child's. Tests do not count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The names that lead from the crate's root to a module; empty for the root.
pub(crate) type ModulePath = Vec<String>;

/// What each module imports.
pub(crate) type Imports = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

/// Reads the sources below a folder, which has the `lib.rs`.
pub(crate) fn read(source: &Path) -> Imports {
    let mut modules = BTreeMap::new();
    add_module(source, vec![], &mut modules);
    let imports = modules.iter().map(|(path, module)| {
        let named = module.named_paths(path, &modules).into_iter();
        let targets = named.filter_map(|named| definition(&named, &modules, 0));
        let others = targets.filter(|target| target != path);
        (path.clone(), others.collect())
    });
    imports.collect()
}

/// The source of one module.
struct Module {
    /// The tokens outside of `use` declarations and tests.
    tokens: Vec<String>,
    uses: Vec<Use>,
    children: BTreeSet<String>,
}

/// One name that a `use` declaration binds.
struct Use {
    name: String,
    /// From the crate's root; empty if it is of another crate.
    path: Vec<String>,
    is_public: bool,
}

fn add_module(source: &Path, path: ModulePath, modules: &mut BTreeMap<ModulePath, Module>) {
    let file = match path.as_slice() {
        [] => source.join("lib.rs"),
        names => source.join(names.join("/")).with_extension("rs"),
    };
    let text =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let module = Module::parse(&tokens(&text), &path);
    for child in &module.children {
        add_module(source, [path.as_slice(), std::slice::from_ref(child)].concat(), modules);
    }
    modules.insert(path, module);
}

impl Module {
    fn parse(all: &[String], path: &[String]) -> Self {
        let mut rest = Vec::new();
        let mut declarations = Vec::new();
        let mut children = BTreeSet::new();
        let mut at = 0;
        while let Some(token) = all.get(at) {
            let after = &all[at..];
            if starts(after, &["#", "[", "cfg", "(", "test", ")", "]"]) {
                at += item_length(after);
            } else if starts(after, &["mod"]) && after.get(2).is_some_and(|end| end == ";") {
                children.insert(after[1].clone());
                at += 3;
            } else if token == "use" {
                let length = after.iter().position(|token| token == ";").unwrap();
                let is_public = rest.last().is_some_and(|last| last == "pub" || last == ")");
                declarations.push((after[1..length].to_vec(), is_public));
                at += length + 1;
            } else {
                rest.push(token.clone());
                at += 1;
            }
        }
        let mut module = Self { tokens: rest, uses: vec![], children };
        for (tree, is_public) in declarations {
            module.add_uses(&tree, &[], is_public, path);
        }
        module
    }

    /// Adds the names that a tree of paths binds.
    fn add_uses(&mut self, tree: &[String], prefix: &[String], is_public: bool, path: &[String]) {
        let open = tree.iter().position(|token| token == "{");
        let end = open.unwrap_or(tree.len());
        let (names, alias) = match tree[..end].iter().position(|token| token == "as") {
            Some(at) => (&tree[..at], tree.get(at + 1)),
            None => (&tree[..end], None),
        };
        let names = names.iter().filter(|token| *token != "::").cloned();
        let mut full: Vec<String> = prefix.iter().cloned().chain(names).collect();
        if let Some(open) = open {
            for branch in branches(&tree[open + 1..tree.len() - 1]) {
                self.add_uses(branch, &full, is_public, path);
            }
            return;
        }
        assert!(full.last().is_none_or(|last| last != "*"), "{path:?} imports all of {full:?}");
        if full.len() > 1 && full.last().is_some_and(|last| last == "self") {
            full.pop();
        }
        let name = alias.or(full.last()).cloned().unwrap_or_default();
        let path = self.absolute(&full, path).unwrap_or_default();
        self.uses.push(Use { name, path, is_public });
    }

    /// A path relative to a module as one from the crate's root; none if it leads to another crate.
    fn absolute(&self, names: &[String], module: &[String]) -> Option<Vec<String>> {
        let (first, rest) = names.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([module, rest].concat()),
            "super" => {
                let (_, parent) = module.split_last()?;
                match rest.first() {
                    Some(next) if next == "super" => self.absolute(rest, parent),
                    _ => Some([parent, rest].concat()),
                }
            }
            child if self.children.contains(child) => Some([module, names].concat()),
            _ => None,
        }
    }

    fn bound(&self, name: &str) -> Option<&Use> {
        self.uses.iter().find(|bound| bound.name == name && !bound.path.is_empty())
    }

    /// The paths of the items that the module names, from the crate's root.
    fn named_paths(
        &self,
        module: &[String],
        modules: &BTreeMap<ModulePath, Self>,
    ) -> Vec<Vec<String>> {
        let mut named = Vec::new();
        for (at, token) in self.tokens.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| self.tokens.get(at));
            // `pub(in crate::engine)` is no use of it.
            if before.is_some_and(|before| ["::", ".", "in"].contains(&before.as_str())) {
                continue;
            }
            let path = path_at(&self.tokens[at..]);
            let full = match self.bound(token) {
                Some(bound) => Some([&bound.path, &path[1..]].concat()),
                None if path.len() > 1 => self.absolute(&path, module),
                None => None,
            };
            named.extend(full);
        }
        // An item that is imported counts even if only a method of it (a trait) is used.
        let private = self.uses.iter().filter(|bound| !bound.is_public);
        named.extend(private.map(|bound| bound.path.clone()));
        named.retain(|path| !path.is_empty() && !modules.contains_key(path));
        named
    }
}

/// The module that defines the item which a path from the root leads to.
fn definition(
    path: &[String],
    modules: &BTreeMap<ModulePath, Module>,
    depth: usize,
) -> Option<ModulePath> {
    assert!(depth < 20, "{path:?} is re-exported in a circle");
    let depth_of_module = (0..=path.len()).rev().find(|end| modules.contains_key(&path[..*end]))?;
    let (module, item) = path.split_at(depth_of_module);
    let (name, rest) = item.split_first()?;
    match modules[module].bound(name) {
        Some(bound) => definition(&[&bound.path, rest].concat(), modules, depth + 1),
        None => Some(module.to_vec()),
    }
}

fn starts(tokens: &[String], with: &[&str]) -> bool {
    tokens.len() >= with.len() && tokens.iter().zip(with).all(|(one, other)| one == other)
}

/// The number of tokens to the end of the first item, including its attributes.
fn item_length(tokens: &[String]) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth -= 1,
            _ => {}
        }
        if depth == 0 && (token == ";" || token == "}") {
            return at + 1;
        }
    }
    tokens.len()
}

/// The parts of a list between commas at its outermost level.
fn branches(list: &[String]) -> Vec<&[String]> {
    let mut depth = 0_usize;
    let parts = list.split(|token| {
        match token.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && token == ","
    });
    parts.filter(|part| !part.is_empty()).collect()
}

/// The path that starts with the first token.
fn path_at(tokens: &[String]) -> Vec<String> {
    let mut path = tokens[..1].to_vec();
    let mut rest = &tokens[1..];
    while let [separator, name, after @ ..] = rest {
        if separator != "::" || !is_name(name) {
            break;
        }
        path.push(name.clone());
        rest = after;
    }
    path
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
}

/// The names and punctuation of a source, without comments, text and numbers.
fn tokens(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = text_length(rest) {
            length
        } else if first.is_ascii_alphanumeric() || first == '_' {
            let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let length = length.unwrap_or(rest.len());
            if is_name(rest) {
                found.push(rest[..length].to_owned());
            }
            length
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                found.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    found
}

/// The length of a literal of text or of a character, or of a lifetime; none if there is none.
fn text_length(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| {
        let after = rest.strip_prefix(prefix).unwrap_or_default().trim_start_matches('#');
        after.starts_with(['"', '\''])
    });
    let start = prefix.unwrap_or_default().len();
    let body = &rest[start..];
    let raw = prefix.is_some_and(|prefix| prefix.ends_with('r'));
    let hashes = body.len() - body.trim_start_matches('#').len();
    if raw && body[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body[hashes + 1..].find(&end).map(|at| at + end.len());
        return Some(start + hashes + 1 + length.unwrap());
    }
    let quote = body.chars().next().filter(|first| ['"', '\''].contains(first))?;
    let mut characters = body[1..].char_indices();
    if quote == '\'' {
        // A lifetime has no second quote: one name of more than a letter, or what follows a letter.
        let (_, letter) = characters.next()?;
        if letter != '\\' {
            let end = 1 + letter.len_utf8();
            return Some(start + if body[end..].starts_with('\'') { end + 1 } else { 1 });
        }
        characters.next();
    }
    while let Some((at, character)) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if character == quote {
            return Some(start + 1 + at + 1);
        }
    }
    None
}
