//! What the stores hold, by tenant, as they list it.

use ffapi_domain::Tenant;
use futures::TryStreamExt;
use object_store::path::Path as Key;

use crate::{
    Storage, StorageError,
    layout::{Layout, PARTIAL_UPLOADS, STAGING, UPLOADS},
};

/// A number of objects and their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Objects.
    pub count: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

/// What one tenant has in one store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreUsage {
    /// The name of the store.
    pub store: String,
    /// The tenant.
    pub tenant: Tenant,
    /// Complete uploads.
    pub uploads: Total,
    /// Objects that locations name; in a store of others, what is there is its owner's and not listed.
    pub objects: Total,
    /// What is staged, or received in parts; in a bucket without what is in multipart uploads.
    pub unfinished: Total,
}

impl Total {
    const fn add(&mut self, bytes: u64) {
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

impl Storage {
    /// Lists every object of every tenant, and sums up their sizes.
    ///
    /// # Errors
    /// When a store fails.
    pub async fn usage(&self) -> Result<Vec<StoreUsage>, StorageError> {
        let mut all = Vec::new();
        for store in self.stores() {
            for tenant in store.tenants().await? {
                let mut usage = StoreUsage {
                    store: store.name.clone(),
                    tenant: tenant.clone(),
                    uploads: Total::default(),
                    objects: Total::default(),
                    unfinished: Total::default(),
                };
                let prefix = match store.layout {
                    Layout::ByTenant => Key::from(tenant.as_str()),
                    Layout::AsNamed => store.layout.staging(&tenant),
                };
                let mut objects = store.backend.objects(&prefix);
                while let Some((key, size)) = objects.try_next().await? {
                    let kind = key.parts().nth(1);
                    let total = match (store.layout, kind.as_ref().map(AsRef::as_ref)) {
                        (Layout::ByTenant, Some(UPLOADS)) => &mut usage.uploads,
                        (Layout::AsNamed, _) | (_, Some(STAGING | PARTIAL_UPLOADS)) => {
                            &mut usage.unfinished
                        }
                        (Layout::ByTenant, _) => &mut usage.objects,
                    };
                    total.add(size);
                }
                all.push(usage);
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn objects_are_summed_up_by_what_they_are() {
        let folder = tempfile::tempdir().unwrap();
        for (path, size) in [
            ("acme/a.mp4", 3),
            ("acme/b/c.mp4", 4),
            ("acme/.uploads/upload_1", 5),
            ("acme/.staging/job_1/1/output", 6),
            ("acme/.uploads-partial/upload_2/1", 7),
            ("zeta/a.mp4", 8),
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![0; size]).unwrap();
        }
        let usage = Storage::open(folder.path()).unwrap().usage().await.unwrap();
        let total = |count, bytes| Total { count, bytes };
        assert_eq!(usage.len(), 2, "{usage:?}");
        assert_eq!(usage[0].tenant.as_str(), "acme");
        assert_eq!(usage[0].objects, total(2, 7));
        assert_eq!(usage[0].uploads, total(1, 5));
        assert_eq!(usage[0].unfinished, total(2, 13));
        assert_eq!(usage[1].objects, total(1, 8));
    }
}
