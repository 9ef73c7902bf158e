//! The users of the private NATS: those of `ops/nats/users.conf`, with passwords that are generated
//! once and stored next to the log.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt, fs, io,
    path::Path,
};

use anyhow::Context;
use ffapi_embedded::private;

use crate::keys;

/// The permissions of each user: the same file that an external server includes.
const RULES: &str = include_str!("../../nats/users.conf");
/// The prefix of the variable for a user's password in that file.
const VARIABLE: &str = "$FFAPI_NATS_";
/// The file with the passwords, in the server's folder.
const FILE: &str = "users.json";

/// A password for each user.
pub(crate) struct NatsUsers(BTreeMap<String, String>);

impl fmt::Debug for NatsUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl NatsUsers {
    /// Loads the users of a server's folder. Missing passwords are generated, as for a folder of an
    /// older version without users.
    pub(crate) fn of(folder: &Path) -> anyhow::Result<Self> {
        private::folder(folder).with_context(|| folder.display().to_string())?;
        let path = folder.join(FILE);
        let mut users: BTreeMap<String, String> = match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text).with_context(|| path.display().to_string())?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        };
        let known = users.len();
        for name in names() {
            if let Entry::Vacant(free) = users.entry(name) {
                free.insert(hex::encode(keys::random()?));
            }
        }
        if users.len() > known {
            let text = serde_json::to_string_pretty(&users)?;
            private::write(&path, &text).with_context(|| path.display().to_string())?;
        }
        Ok(Self(users))
    }

    /// The users' part of the server configuration.
    pub(crate) fn configuration(&self) -> String {
        let define = |(name, password): (&String, &String)| {
            format!("{}: \"{password}\"\n", variable(name).trim_start_matches('$'))
        };
        self.0.iter().map(define).collect::<String>() + RULES
    }

    /// The server URL with the credentials of a user.
    pub(crate) fn url(&self, server: &str, name: &str) -> anyhow::Result<String> {
        let password = self.0.get(name).with_context(|| format!("NATS has no user {name}"))?;
        let address = server.trim_start_matches("nats://");
        Ok(format!("nats://{name}:{password}@{address}"))
    }
}

/// The variable of a user, like `$FFAPI_NATS_TENANT_ACME` for `tenant-acme`.
fn variable(name: &str) -> String {
    format!("{VARIABLE}{}", name.to_uppercase().replace('-', "_"))
}

/// Every user named in the rules.
fn names() -> impl Iterator<Item = String> {
    let lines = RULES.lines().filter(|line| !line.trim_start().starts_with('#'));
    lines.flat_map(|line| line.split(VARIABLE).skip(1)).map(|rest| {
        let name = rest.split(|c: char| c != '_' && !c.is_ascii_uppercase()).next();
        name.unwrap_or_default().to_lowercase().replace('_', "-")
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn every_user_gets_a_stable_password() {
        let folder = tempfile::tempdir().unwrap();
        let users = NatsUsers::of(folder.path()).unwrap();
        for name in ["operator", "gateway", "projector", "conductor", "worker", "tenant-acme"] {
            assert_eq!(users.0[name].len(), 64, "{name}");
        }
        let again = NatsUsers::of(folder.path()).unwrap();
        assert_eq!(users.0, again.0);
        let file = folder.path().join(FILE);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        // A user added to the rules gets a password; the others keep theirs.
        let mut fewer = users.0.clone();
        fewer.remove("worker");
        private::write(&file, &serde_json::to_string(&fewer).unwrap()).unwrap();
        let grown = NatsUsers::of(folder.path()).unwrap();
        assert_eq!(grown.0["gateway"], users.0["gateway"]);
        assert_ne!(grown.0["worker"], users.0["worker"]);
    }

    #[test]
    fn every_variable_is_defined_and_no_password_is_printed() {
        let folder = tempfile::tempdir().unwrap();
        let users = NatsUsers::of(folder.path()).unwrap();
        let text = users.configuration();
        for rest in RULES.split(VARIABLE).skip(1) {
            let name = rest.split(|c: char| c != '_' && !c.is_ascii_uppercase()).next().unwrap();
            assert!(text.contains(&format!("FFAPI_NATS_{name}: \"")), "{name}");
        }
        let url = users.url("nats://127.0.0.1:4222", "gateway").unwrap();
        assert_eq!(url, format!("nats://gateway:{}@127.0.0.1:4222", users.0["gateway"]));
        assert!(!format!("{users:?}").contains(&users.0["gateway"]));
    }
}
