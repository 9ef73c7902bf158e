use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

use futures::stream::{BoxStream, StreamExt};
use poem::listener::{RustlsCertificate, RustlsConfig};

use crate::{GatewayError, TlsConfig};

/// How often the files are checked for changes.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The configuration from the files, now and whenever they change, so that a certificate can be
/// renewed without a restart. If the new files cannot be used, the old configuration stays.
pub(crate) fn follow(tls: &TlsConfig) -> Result<BoxStream<'static, RustlsConfig>, GatewayError> {
    let (first, read_at) = (read(tls)?, modified(tls));
    let state = (tls.clone(), Some(first), read_at);
    let changes = futures::stream::unfold(state, |(tls, first, mut read_at)| async move {
        if let Some(first) = first {
            return Some((first, (tls, None, read_at)));
        }
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let now = modified(&tls);
            if now == read_at {
                continue;
            }
            read_at = now;
            match read(&tls) {
                Ok(config) => return Some((config, (tls, None, read_at))),
                Err(error) => tracing::warn!(%error, "the new certificate cannot be used"),
            }
        }
    });
    Ok(changes.boxed())
}

/// The modification times of certificate and key.
fn modified(tls: &TlsConfig) -> [Option<SystemTime>; 2] {
    let of = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    [of(&tls.certificate), of(&tls.key)]
}

fn read(tls: &TlsConfig) -> Result<RustlsConfig, GatewayError> {
    let read = |path: &Path, kind: &str| {
        let file = path.display().to_string();
        let bytes =
            fs::read(path).map_err(|source| GatewayError::Tls { file: file.clone(), source })?;
        if !String::from_utf8_lossy(&bytes).contains(kind) {
            let source = io::Error::other(format!("it contains no PEM `{kind}`"));
            return Err(GatewayError::Tls { file, source });
        }
        Ok(bytes)
    };
    let certificate = read(&tls.certificate, "CERTIFICATE")?;
    let key = read(&tls.key, "PRIVATE KEY")?;
    Ok(RustlsConfig::new().fallback(RustlsCertificate::new().cert(certificate).key(key)))
}
