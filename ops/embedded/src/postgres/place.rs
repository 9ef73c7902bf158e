use std::{
    env,
    fs::{self, DirBuilder, Metadata, Permissions},
    hash::{DefaultHasher, Hash, Hasher},
    io,
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use nix::unistd::{User, geteuid};

use crate::{StartError, private};

/// Where a database is, and who runs it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) data: PathBuf,
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
    /// Set when we are root, which Postgres refuses to be.
    pub(super) user: Option<User>,
}

/// Says where the data is.
const RECORD: &str = "postgres.location";
/// Where it is if the database's user cannot come to the folder.
const ELSEWHERE: &str = "/var/lib/ffapi";
/// The longest folder of a socket: its whole path must fit into 107 bytes.
const LONGEST: usize = 107 - "/.s.PGSQL.5432.lock".len();

impl Place {
    pub(super) fn prepare(folder: &Path) -> Result<Self, StartError> {
        let user = if geteuid().is_root() { Some(unprivileged()?) } else { None };
        let at = |source: io::Error| StartError::Folder { path: folder.to_owned(), source };
        let home = home(folder, user.as_ref()).map_err(at)?;
        let record = format!("{}\n", home.join("postgres").display());
        private::write(&folder.join(RECORD), &record).map_err(at)?;
        let socket = match home.join("postgres.socket") {
            near if near.as_os_str().len() <= LONGEST => near,
            far => runtime_folder()
                .map(|runtime| runtime.join(format!("ffapi-{}", short_hash(folder))))
                .map_err(|source| StartError::Folder { path: far, source })?,
        };
        let place =
            Self { data: home.join("postgres"), socket, log: home.join("postgres.log"), user };
        for private in [&place.data, &place.socket] {
            place
                .close(private)
                .map_err(|source| StartError::Folder { path: private.clone(), source })?;
        }
        Ok(place)
    }

    /// The database's name of its owner.
    pub(super) fn owner(&self) -> String {
        self.user.as_ref().map_or_else(own_name, |user| user.name.clone())
    }

    /// Says who may come in: the user that we are, as the owner, and nobody else. Written at each
    /// start, so that a cluster of an earlier version does not let in everybody any more.
    pub(super) fn let_in(&self) -> io::Result<()> {
        let rules = "local all all peer map=ffapi\n".to_owned();
        let names = format!("ffapi \"{}\" \"{}\"\n", own_name(), self.owner());
        for (name, text) in [("pg_hba.conf", rules), ("pg_ident.conf", names)] {
            let path = self.data.join(name);
            private::write(&path, &text)?;
            self.give(&path)?;
        }
        Ok(())
    }

    /// Makes a folder that only the database's user may enter. One that is there already must be
    /// that user's, or ours: anybody may make folders in some places.
    fn close(&self, folder: &Path) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let meta = fs::symlink_metadata(folder)?;
        let theirs = self.user.as_ref().map(|user| user.uid.as_raw());
        let known = [Some(geteuid().as_raw()), theirs].contains(&Some(meta.uid()));
        if !meta.is_dir() || !known {
            let why = "somebody else made it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        fs::set_permissions(folder, Permissions::from_mode(0o700))?;
        self.give(folder)
    }

    fn give(&self, path: &Path) -> io::Result<()> {
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

/// The user that the database runs as when we are root: one of its own. `nobody` runs other things,
/// media children among them.
fn unprivileged() -> Result<User, StartError> {
    User::from_name("postgres").ok().flatten().ok_or(StartError::NoUser)
}

/// Where the data is to be: where it is already, else in the folder itself, if its user can come there.
fn home(folder: &Path, user: Option<&User>) -> io::Result<PathBuf> {
    let Some(user) = user else { return Ok(folder.to_owned()) };
    let elsewhere = Path::new(ELSEWHERE).join(short_hash(folder));
    let is_in = |home: &Path| home.join("postgres/PG_VERSION").exists();
    let reachable = folder.ancestors().skip(1).all(|above| lets_pass(above, user));
    if is_in(folder) || (reachable && !is_in(&elsewhere)) {
        open_to_group(folder, user)?;
        return Ok(folder.to_owned());
    }
    DirBuilder::new().recursive(true).mode(0o711).create(ELSEWHERE)?;
    // A umask may have taken away more.
    fs::set_permissions(ELSEWHERE, Permissions::from_mode(0o711))?;
    private::folder(&elsewhere)?;
    open_to_group(&elsewhere, user)?;
    Ok(elsewhere)
}

/// Lets a user's group pass through a folder of ours, without seeing what is in it.
fn open_to_group(folder: &Path, user: &User) -> io::Result<()> {
    let meta = folder.metadata()?;
    if lets(&meta, user) {
        return Ok(());
    }
    chown(folder, None, Some(user.gid.as_raw()))?;
    fs::set_permissions(folder, Permissions::from_mode(meta.mode() & 0o700 | 0o010))
}

fn lets_pass(folder: &Path, user: &User) -> bool {
    folder.metadata().is_ok_and(|meta| lets(&meta, user))
}

/// Whether a folder's mode lets a user pass through it.
fn lets(meta: &Metadata, user: &User) -> bool {
    let bit = if meta.uid() == user.uid.as_raw() {
        0o100
    } else if meta.gid() == user.gid.as_raw() {
        0o010
    } else {
        0o001
    };
    meta.mode() & bit != 0
}

/// A folder for sockets in which nobody else can make anything.
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
    let meta = folder.metadata()?;
    if meta.uid() == ours.as_raw() && meta.mode() & 0o022 == 0 {
        return Ok(folder);
    }
    let why = format!("{} can be written by others", folder.display());
    Err(io::Error::new(io::ErrorKind::PermissionDenied, why))
}

fn short_hash(folder: &Path) -> String {
    let mut hasher = DefaultHasher::new();
    folder.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
