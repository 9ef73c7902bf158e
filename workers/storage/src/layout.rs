use ffapi_domain::{JobId, Tenant, UploadId};
use object_store::path::Path as Key;

use crate::StorageError;

/// Prefix of uploads; a user's location cannot name it.
pub(crate) const UPLOADS: &str = ".uploads";
/// Prefix of uploads that are received in parts; it begins as that of uploads.
pub(crate) const PARTIAL_UPLOADS: &str = ".uploads-partial";
/// Prefix of what is staged; a user's location cannot name it.
pub(crate) const STAGING: &str = ".staging";

/// End of the keys of what is staged to be put elsewhere: the bytes themselves, in every store.
pub(crate) const CONTENTS: &str = ".contents";

/// How the keys of a store begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Each tenant has a folder that others cannot reach: the deployment's own store.
    ByTenant,
    /// Keys are as users name them: a bucket that exists beside the deployment.
    AsNamed,
}

impl Layout {
    /// The key of a path that a user named.
    pub(crate) fn object(self, tenant: &Tenant, path: &str) -> Result<Key, StorageError> {
        let key = match self {
            Self::ByTenant => format!("{tenant}/{path}"),
            Self::AsNamed => path.to_owned(),
        };
        Key::parse(&key).map_err(|_| StorageError::NotFound(path.to_owned()))
    }

    /// The key of an upload.
    pub(crate) fn upload(self, tenant: &Tenant, id: UploadId) -> Key {
        self.internal(UPLOADS, tenant).join(id.to_string())
    }

    /// The prefix of all uploads of a tenant.
    pub(crate) fn uploads(self, tenant: &Tenant) -> Key {
        self.internal(UPLOADS, tenant)
    }

    /// The prefix of all uploads of a tenant that are received in parts.
    pub(crate) fn partial_uploads(self, tenant: &Tenant) -> Key {
        self.internal(PARTIAL_UPLOADS, tenant)
    }

    /// The prefix of all that a tenant's jobs have staged.
    pub(crate) fn staging(self, tenant: &Tenant) -> Key {
        self.internal(STAGING, tenant)
    }

    /// The prefix of what one attempt has staged.
    pub(crate) fn attempt(self, tenant: &Tenant, job: JobId, attempt: u32) -> Key {
        self.staging(tenant).join(job.to_string()).join(attempt.to_string())
    }

    /// The prefix that has one folder for each tenant, at least.
    pub(crate) fn tenants(self) -> Key {
        match self {
            Self::ByTenant => Key::default(),
            Self::AsNamed => Key::from(STAGING),
        }
    }

    fn internal(self, folder: &str, tenant: &Tenant) -> Key {
        match self {
            Self::ByTenant => Key::from(tenant.as_str()).join(folder),
            Self::AsNamed => Key::from(folder).join(tenant.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_apart_in_the_deployments_own_store_only() {
        let tenant: Tenant = "acme".parse().unwrap();
        let keys = |layout: Layout| {
            let object = layout.object(&tenant, "videos/a.mp4").unwrap();
            (object.to_string(), layout.uploads(&tenant).to_string())
        };
        assert_eq!(keys(Layout::ByTenant), ("acme/videos/a.mp4".into(), "acme/.uploads".into()));
        assert_eq!(keys(Layout::AsNamed), ("videos/a.mp4".into(), ".uploads/acme".into()));
    }
}
