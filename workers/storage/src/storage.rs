use std::{collections::BTreeMap, path::Path, sync::Arc, time::SystemTime};

use ffapi_domain::{
    JobId, Tenant, UploadId,
    location::{DEFAULT_BACKEND, Location},
};
use futures::future::join_all;

use crate::{
    RetryPolicy, StorageConfig, StorageError, StoresConfig, TenantStorage, folder::Folder,
    layout::Layout, object::Object, store::Store,
};

/// The stores of a deployment: its own, which has the uploads of all tenants, and named ones.
#[derive(Debug, Clone)]
pub struct Storage {
    own: Arc<Store>,
    all: Arc<BTreeMap<String, Arc<Store>>>,
}

/// What a tenant's jobs have staged in one store.
#[derive(Debug, Clone)]
pub struct StagedJob {
    /// The tenant.
    pub tenant: Tenant,
    /// The job.
    pub job: JobId,
}

impl Storage {
    /// Opens a deployment's own store in a folder, which is created if needed.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(root: &Path) -> Result<Self, StorageError> {
        let config = StorageConfig { root: root.to_owned(), ..StorageConfig::default() };
        Self::configured(&config, &StoresConfig::new(), RetryPolicy::Request)
    }

    /// Opens the stores of a configuration. Nothing is sent to a remote one.
    ///
    /// # Errors
    /// When the folder cannot be used, or the configuration of a store is incomplete.
    pub fn configured(
        config: &StorageConfig,
        stores: &StoresConfig,
        retry_policy: RetryPolicy,
    ) -> Result<Self, StorageError> {
        let folder = Arc::new(Folder::open(&config.root)?);
        let layout = |name: &str| {
            if name == config.default { Layout::ByTenant } else { Layout::AsNamed }
        };
        // The folder has always been apart by tenant, also where it is not the default.
        let local = Arc::new(Store::local(folder, Layout::ByTenant));
        let mut all = BTreeMap::from([(DEFAULT_BACKEND.to_owned(), local)]);
        for (name, config) in stores {
            let store = Store::open(name, config, layout(name), retry_policy)?;
            all.insert(name.clone(), Arc::new(store));
        }
        let own = all.get(&config.default).map(Arc::clone).ok_or_else(|| {
            let names: Vec<&str> = all.keys().map(String::as_str).collect();
            let detail = format!(
                "storage.default is `{}`, which is none of the stores: {}",
                config.default,
                names.join(", ")
            );
            StorageError::Config(detail)
        })?;
        Ok(Self { own, all: Arc::new(all) })
    }

    /// The deployment's own store.
    pub(crate) fn own(&self) -> &Store {
        &self.own
    }

    /// Every store, by name.
    pub(crate) fn stores(&self) -> impl Iterator<Item = &Store> {
        self.all.values().map(Arc::as_ref)
    }

    /// The name of the deployment's own store.
    pub fn default_name(&self) -> &str {
        &self.own.name
    }

    /// A tenant's view: paths in it cannot lead into another tenant's part.
    pub fn of(&self, tenant: &Tenant) -> TenantStorage {
        TenantStorage::new(self.clone(), tenant.clone())
    }

    /// Checks that every store can be reached; returns each one's name with what is wrong.
    pub async fn check(&self) -> Vec<(String, Option<StorageError>)> {
        let checks = self
            .all
            .values()
            .map(|store| async { (store.name.clone(), store.backend.check().await.err()) });
        join_all(checks).await
    }

    /// True if the deployment's own store can be used.
    pub async fn answers(&self) -> bool {
        self.own.backend.check().await.is_ok()
    }

    /// The uploads of all tenants that were received before a time.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn uploads_before(
        &self,
        before: SystemTime,
    ) -> Result<Vec<(Tenant, UploadId)>, StorageError> {
        let mut old = Vec::new();
        for tenant in self.own.tenants().await? {
            let uploads = self.own.backend.entries(&self.own.layout.uploads(&tenant)).await?;
            for upload in uploads.iter().filter(|upload| upload.modified < before) {
                old.extend(upload.name.parse().ok().map(|id| (tenant.clone(), id)));
            }
        }
        Ok(old)
    }

    /// Deletes partial uploads last written before a time, whose gateway died.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn drop_partial_uploads(&self, before: SystemTime) -> Result<(), StorageError> {
        for tenant in self.own.tenants().await? {
            self.own.backend.drop_partial(&self.own.layout.uploads(&tenant), before).await?;
        }
        Ok(())
    }

    /// The jobs of all tenants with staged files that have not changed since `before`.
    ///
    /// # Errors
    /// When a store fails.
    pub async fn staged_before(&self, before: SystemTime) -> Result<Vec<StagedJob>, StorageError> {
        let mut old = Vec::new();
        for store in self.all.values() {
            for tenant in store.tenants().await? {
                let jobs = store.backend.entries(&store.layout.staging(&tenant)).await?;
                for job in jobs.iter().filter(|job| job.modified < before) {
                    let tenant = tenant.clone();
                    old.extend(job.name.parse().ok().map(|job| StagedJob { tenant, job }));
                }
            }
        }
        Ok(old)
    }

    /// Deletes everything of one tenant in the deployment's own stores, and what its jobs have
    /// staged in others. What was published in others is its owner's.
    ///
    /// # Errors
    /// When a store fails; some objects may be deleted then.
    pub async fn erase(&self, tenant: &Tenant) -> Result<(), StorageError> {
        for store in self.all.values().filter(|store| store.allows(tenant)) {
            let staged = store.layout.staging(tenant);
            store.backend.discard(&staged).await?;
            if store.layout == Layout::ByTenant {
                store.backend.discard(&tenant.as_str().into()).await?;
            }
        }
        Ok(())
    }

    /// The store of a location and the object in it.
    pub(crate) fn resolve(
        &self,
        tenant: &Tenant,
        location: &Location,
    ) -> Result<(&Store, Object), StorageError> {
        let shown = location.to_string();
        let (store, key) = match location {
            Location::Upload(id) => (&self.own, self.own.layout.upload(tenant, *id)),
            Location::Web(_) | Location::JobOutput { .. } => {
                return Err(StorageError::NotFound(location.shown()));
            }
            Location::Object { backend, path } => {
                let store = self.all.get(backend).filter(|store| store.allows(tenant));
                let store = store.ok_or_else(|| self.no_store(tenant, backend))?;
                let key = store.layout.object(tenant, path)?;
                if let Some(max) = store.backend.max_key_bytes()
                    && key.as_ref().len() > max
                {
                    let of_layout = key.as_ref().len().saturating_sub(path.len());
                    let max = max.saturating_sub(of_layout);
                    return Err(StorageError::NameTooLong { shown, max });
                }
                (store, key)
            }
        };
        Ok((store, Object { key, shown }))
    }

    fn no_store(&self, tenant: &Tenant, name: &str) -> StorageError {
        let usable = self.all.values().filter(|store| store.allows(tenant));
        let names: Vec<String> = usable.map(|store| format!("`{}://`", store.name)).collect();
        StorageError::NoStore { name: name.to_owned(), available: names.join(", ") }
    }

    /// The one form in which a location is recorded: with the name of its store, whether a client
    /// named the store, nothing, or the bucket as `s3://bucket/path`.
    pub(crate) fn canonical(&self, tenant: &Tenant, location: Location) -> Location {
        let Location::Object { backend, path } = &location else { return location };
        if backend == DEFAULT_BACKEND {
            return Location::Object { backend: self.own.name.clone(), path: path.clone() };
        }
        let url = location.to_string();
        let covering = self.all.values().filter(|store| store.allows(tenant));
        let covering = covering.filter_map(|store| Some((store, store.path_of(&url)?)));
        // Of several, the one whose prefix is the longest.
        let Some((store, path)) = covering.min_by_key(|(_, path)| path.len()) else {
            return location;
        };
        // The path in the store may be internal, or too long.
        format!("{}://{path}", store.name).parse().unwrap_or(location)
    }
}
