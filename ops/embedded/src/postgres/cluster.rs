use std::{
    env,
    fs::{self, DirBuilder, Metadata, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use nix::unistd::{Uid, User, geteuid};

use crate::{StartError, private};

/// The paths of a Postgres cluster, and the user that runs it.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) data: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
    /// Set when the process runs as root, which Postgres refuses to do.
    pub(super) user: Option<User>,
}

/// The file that contains the path of the data.
const LOCATION_FILE: &str = "postgres.location";
/// The parent folder of the data if the database's user cannot reach the given folder.
const FALLBACK_ROOT: &str = "/var/lib/ffapi";
/// Maximum length of the socket's folder: the whole path must fit into 107 bytes.
const MAX_SOCKET_FOLDER_LENGTH: usize = 107 - "/.s.PGSQL.5432.lock".len();

impl Cluster {
    pub(super) fn prepare(folder: &Path) -> Result<Self, StartError> {
        let user = if geteuid().is_root() { Some(unprivileged()?) } else { None };
        let at = |source: io::Error| StartError::Folder { path: folder.to_owned(), source };
        let home = home(folder, user.as_ref()).map_err(at)?;
        let record = format!("{}\n", home.join("postgres").display());
        private::write(&folder.join(LOCATION_FILE), &record).map_err(at)?;
        let socket = match home.join("postgres.socket") {
            near if near.as_os_str().len() <= MAX_SOCKET_FOLDER_LENGTH => near,
            far => runtime_folder()
                .map(|runtime| runtime.join(format!("ffapi-{}", short_hash(folder))))
                .map_err(|source| StartError::Folder { path: far, source })?,
        };
        let cluster =
            Self { data: home.join("postgres"), socket, log: home.join("postgres.log"), user };
        for private in [&cluster.data, &cluster.socket] {
            cluster
                .make_private(private)
                .map_err(|source| StartError::Folder { path: private.clone(), source })?;
        }
        Ok(cluster)
    }

    /// The name of the database user.
    pub(super) fn owner(&self) -> String {
        self.user.as_ref().map_or_else(own_name, |user| user.name.clone())
    }

    /// Writes the access rules: only the current user may connect, as the owner. Written at each
    /// start, so that a cluster of an earlier version does not accept other users any more.
    pub(super) fn write_access_rules(&self) -> io::Result<()> {
        let rules = "local all all peer map=ffapi\n".to_owned();
        let names = format!("ffapi \"{}\" \"{}\"\n", own_name(), self.owner());
        for (name, text) in [("pg_hba.conf", rules), ("pg_ident.conf", names)] {
            let path = self.data.join(name);
            private::write(&path, &text)?;
            self.chown(&path)?;
        }
        Ok(())
    }

    /// Creates a folder that only the database's user may enter. An existing one must belong to
    /// that user or the current one, because some parent folders are writable by everyone.
    fn make_private(&self, folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let meta = fs::symlink_metadata(folder)?;
        let theirs = self.user.as_ref().map(|user| user.uid.as_raw());
        let known = [Some(geteuid().as_raw()), theirs].contains(&Some(meta.uid()));
        if !meta.is_dir() || !known {
            let why = "it belongs to another user";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        self.chown(folder)
    }

    fn chown(&self, path: &Path) -> io::Result<()> {
        match &self.user {
            Some(user) => chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw())),
            None => Ok(()),
        }
    }
}

fn own_name() -> String {
    let user = User::from_uid(geteuid()).ok().flatten();
    user.map_or_else(|| "ffapi".to_owned(), |user| user.name)
}

/// The user that the database runs as when the process is root. It is not `nobody`, which also runs
/// media children.
fn unprivileged() -> Result<User, StartError> {
    User::from_name("postgres").ok().flatten().ok_or(StartError::NoUser)
}

/// The parent folder of the data: the one that has it already, else `folder` if `user` can reach
/// it.
fn home(folder: &Path, user: Option<&User>) -> io::Result<PathBuf> {
    let Some(user) = user else { return Ok(folder.to_owned()) };
    let elsewhere = Path::new(FALLBACK_ROOT).join(short_hash(folder));
    let is_in = |home: &Path| home.join("postgres/PG_VERSION").exists();
    let reachable = folder.ancestors().skip(1).all(|above| is_traversable(above, user));
    if is_in(folder) || (reachable && !is_in(&elsewhere)) {
        open_to_group(folder, user)?;
        return Ok(folder.to_owned());
    }
    DirBuilder::new().recursive(true).mode(0o711).create(FALLBACK_ROOT)?;
    // The umask may have removed permissions.
    fs::set_permissions(FALLBACK_ROOT, Permissions::from_mode(0o711))?;
    private::folder(&elsewhere)?;
    open_to_group(&elsewhere, user)?;
    Ok(elsewhere)
}

/// Allows a user's group to traverse a folder without listing it.
fn open_to_group(folder: &Path, user: &User) -> io::Result<()> {
    let meta = folder.metadata()?;
    if may_traverse(&meta, user) {
        return Ok(());
    }
    chown(folder, None, Some(user.gid.as_raw()))?;
    fs::set_permissions(folder, Permissions::from_mode(meta.mode() & 0o700 | 0o010))
}

fn is_traversable(folder: &Path, user: &User) -> bool {
    folder.metadata().is_ok_and(|meta| may_traverse(&meta, user))
}

/// Whether a folder's mode allows a user to traverse it.
fn may_traverse(meta: &Metadata, user: &User) -> bool {
    let bit = if meta.uid() == user.uid.as_raw() {
        0o100
    } else if meta.gid() == user.gid.as_raw() {
        0o010
    } else {
        0o001
    };
    meta.mode() & bit != 0
}

/// A folder for sockets that other users cannot write.
fn runtime_folder() -> io::Result<PathBuf> {
    let ours = geteuid();
    let folder = match env::var_os("XDG_RUNTIME_DIR") {
        _ if ours.is_root() => PathBuf::from("/run"),
        Some(folder) => PathBuf::from(folder),
        None => {
            let why =
                "its path is too long for a socket; use a shorter one, or set XDG_RUNTIME_DIR";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
    };
    check_unshared(&folder, ours)?;
    Ok(folder)
}

/// Checks that a folder belongs to a user, and nobody else can write it.
fn check_unshared(folder: &Path, owner: Uid) -> io::Result<()> {
    let meta = folder.metadata()?;
    if meta.uid() == owner.as_raw() && meta.mode() & 0o022 == 0 {
        return Ok(());
    }
    let why = format!("{} can be written by others", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

fn short_hash(folder: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_folder_that_others_own_or_may_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, ours) = (folder.path(), geteuid());
        let is_refused = |owner, mode| {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            let refused = check_unshared(path, owner).err().map(|error| error.kind());
            refused == Some(io::ErrorKind::PermissionDenied)
        };
        assert!(!is_refused(ours, 0o700) && !is_refused(ours, 0o755));
        for mode in [0o770, 0o720, 0o702, 0o777, 0o1777] {
            assert!(is_refused(ours, mode), "{mode:o}");
        }
        assert!(is_refused(Uid::from_raw(ours.as_raw() + 1), 0o700));
    }

    #[test]
    fn a_folder_of_another_user_is_not_used_for_the_socket() {
        let folder = tempfile::tempdir().unwrap();
        if !crate::is_root_or_skipped("can give a folder to another user") {
            return;
        }
        let cluster = Cluster {
            data: folder.path().join("data"),
            socket: folder.path().join("socket"),
            log: folder.path().join("log"),
            user: None,
        };
        cluster.make_private(&cluster.socket).unwrap();
        assert_eq!(cluster.socket.metadata().unwrap().mode() & 0o777, 0o700);
        chown(&cluster.socket, Some(65_534), None).unwrap();
        let error = cluster.make_private(&cluster.socket).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        // A link to a folder of the user's own.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(cluster.make_private(&link).is_err());
    }
}
