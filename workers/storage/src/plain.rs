use std::{fmt, path::Path, sync::Arc, time::SystemTime};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, path::Path as Key};

use crate::{RetryPolicy, StorageError, StoreConfig, StoresConfig, bucket, folder::Folder};

/// A store of whole objects by key, without tenants: for backups.
#[derive(Clone)]
pub struct PlainStore {
    store: Arc<dyn ObjectStore>,
    prefix: Key,
    shown: String,
}

impl fmt::Debug for PlainStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlainStore({})", self.shown)
    }
}

/// An object of a [`PlainStore`].
#[derive(Debug, Clone)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// The time of its last modification.
    pub modified: SystemTime,
}

impl PlainStore {
    /// Opens what a user named: a configured store (`archive`, or `archive://prefix`), a URL
    /// (`s3://bucket/prefix`, `az://…`, `gs://…`, `file:///folder`) with the credentials of the
    /// environment, or the path of a folder, which is created if needed.
    ///
    /// # Errors
    /// When the folder cannot be used, or the configuration of the store is incomplete.
    pub fn named(name: &str, stores: &StoresConfig) -> Result<Self, StorageError> {
        let (scheme, rest) = name.split_once("://").unwrap_or((name, ""));
        if let Some(config) = stores.get(scheme) {
            return Self::open(config, rest, name);
        }
        match scheme {
            "s3" | "gs" | "az" | "file" if scheme != name => {
                let config = StoreConfig { url: name.to_owned(), ..StoreConfig::default() };
                Self::open(&config, "", name)
            }
            _ if scheme != name => {
                let names: Vec<&str> = stores.keys().map(String::as_str).collect();
                Err(StorageError::Config(format!(
                    "`{name}` names no store; those of the configuration are [{}]",
                    names.join(", ")
                )))
            }
            _ => Self::folder(Path::new(name), name),
        }
    }

    fn open(config: &StoreConfig, beneath: &str, shown: &str) -> Result<Self, StorageError> {
        let wrong = |detail: String| StorageError::Config(format!("{shown}: {detail}"));
        let beneath =
            Key::parse(beneath.trim_matches('/')).map_err(|error| wrong(error.to_string()))?;
        let opened = if let Some(folder) = config.url.strip_prefix("file://") {
            Self::folder(folder.as_ref(), shown)?
        } else {
            let (store, prefix) = bucket::open(config, RetryPolicy::Work).map_err(wrong)?.parts();
            Self { store, prefix, shown: shown.to_owned() }
        };
        let prefix = opened.prefix.parts().chain(beneath.parts()).collect();
        Ok(Self { prefix, ..opened })
    }

    fn folder(path: &Path, shown: &str) -> Result<Self, StorageError> {
        let store = Folder::open(path)?.objects();
        Ok(Self { store, prefix: Key::default(), shown: shown.to_owned() })
    }

    fn key(&self, key: &str) -> Key {
        self.prefix.parts().chain(Key::from(key).parts()).collect()
    }

    /// Stores an object, replacing an existing one. It is durable and complete, or not there.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StorageError> {
        let stored = self.store.put(&self.key(key), bytes.into()).await;
        stored.map(|_| ()).map_err(StorageError::of_store)
    }

    /// Stores an object if there is none of that key; true if it was stored.
    ///
    /// # Errors
    /// When the store fails, or cannot do that.
    pub async fn put_new(&self, key: &str, bytes: Bytes) -> Result<bool, StorageError> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.key(key), bytes.into(), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(StorageError::of_store(error)),
        }
    }

    /// Reads an object; none if it does not exist.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, StorageError> {
        match self.store.get(&self.key(key)).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(StorageError::of_store)?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StorageError::of_store(error)),
        }
    }

    /// All objects beneath a key, in the order of their keys.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list(&self, beneath: &str) -> Result<Vec<Listed>, StorageError> {
        let depth = self.prefix.parts().count();
        let listed = self.store.list(Some(&self.key(beneath))).map_ok(|meta| Listed {
            key: meta.location.parts().skip(depth).collect::<Key>().to_string(),
            size: meta.size,
            modified: meta.last_modified.into(),
        });
        let mut listed: Vec<Listed> = listed.try_collect().await.map_err(StorageError::of_store)?;
        listed.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listed)
    }

    /// Deletes an object; succeeds if there is none.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, key: &str) -> Result<(), StorageError> {
        match self.store.delete(&self.key(key)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StorageError::of_store(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn objects_are_stored_once_listed_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let stores = StoresConfig::from([(
            "vaulted".to_owned(),
            StoreConfig {
                url: format!("file://{}", folder.path().display()),
                ..StoreConfig::default()
            },
        )]);
        let store = PlainStore::named("vaulted://a/b", &stores).unwrap();
        assert!(store.put_new("x/1", "one".into()).await.unwrap());
        assert!(!store.put_new("x/1", "two".into()).await.unwrap());
        store.put("x/0", "zero".into()).await.unwrap();
        let keys: Vec<_> =
            store.list("x").await.unwrap().into_iter().map(|listed| listed.key).collect();
        assert_eq!(keys, ["x/0", "x/1"]);
        let again = PlainStore::named(&folder.path().join("a/b").display().to_string(), &stores);
        assert_eq!(again.unwrap().get("x/1").await.unwrap().unwrap(), "one");
        store.remove("x/1").await.unwrap();
        store.remove("x/1").await.unwrap();
        assert!(store.get("x/1").await.unwrap().is_none());
        let unknown = PlainStore::named("archive://a", &stores).unwrap_err().to_string();
        assert!(unknown.contains("[vaulted]"), "{unknown}");
    }
}
