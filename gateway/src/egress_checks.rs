//! Where the requests of jobs and webhooks may be sent, as far as that is known before they are.

use std::net::IpAddr;

use ffapi_domain::{egress::may_connect, webhook::Callback};
use ffapi_storage::EgressConfig;
use url::{Host, Url};

use crate::problem::{Kind, Problem};

/// Rejects a callback to an address that requests may not be sent to.
pub(crate) fn check_callback(
    egress: &EgressConfig,
    callback: Option<&Callback>,
) -> Result<(), Problem> {
    let url = callback.and_then(|callback| Url::parse(callback.url.as_ref()?).ok());
    url.map_or(Ok(()), |url| check_host(egress, &url, "#/webhook_url"))
}

/// Rejects a host that is an address which requests may not be sent to; host names are checked by
/// the worker, after they are resolved.
pub(crate) fn check_host(egress: &EgressConfig, url: &Url, pointer: &str) -> Result<(), Problem> {
    let address: Option<IpAddr> = match url.host() {
        Some(Host::Ipv4(v4)) => Some(v4.into()),
        Some(Host::Ipv6(v6)) => Some(v6.into()),
        Some(Host::Domain(_)) | None => None,
    };
    match address.filter(|address| !may_connect(*address, &egress.allow)) {
        None => Ok(()),
        Some(address) => {
            let detail = format!(
                "{address} is not a public internet address; the operator can allow it, by \
                 `FFAPI_EGRESS__ALLOW`"
            );
            Err(Problem::field(Kind::Invalid, pointer, detail))
        }
    }
}
