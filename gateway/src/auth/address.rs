use std::net::IpAddr;

use ffapi_domain::Network;
use poem::{Request, http::HeaderMap};
use serde::{Deserialize, Serialize};

/// Trusted proxies, and the header in which they report the client's address. Other such headers
/// come from the client itself and are ignored.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    header: ProxyHeader,
}

/// The header in which a proxy reports the client's address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`, the most common one.
    #[default]
    XForwardedFor,
    /// `Forwarded`, as RFC 7239 defines it.
    Forwarded,
}

impl Proxies {
    pub(crate) const fn new(trusted: Vec<Network>, header: ProxyHeader) -> Self {
        Self { trusted, header }
    }

    /// True if the address belongs to a trusted proxy.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(address))
    }

    /// The client's address: the peer's, or, if the peer is a trusted proxy, the last address in
    /// its header that is not a trusted proxy.
    pub(crate) fn origin(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.remote_addr().as_socket_addr()?.ip().to_canonical();
        Some(if self.trusts(peer) { self.forwarded(peer, request.headers()) } else { peer })
    }

    /// True if the request came through a trusted proxy.
    pub(crate) fn forwarded_by_trusted(&self, request: &Request) -> bool {
        let peer = request.remote_addr().as_socket_addr();
        peer.is_some_and(|peer| self.trusts(peer.ip().to_canonical()))
    }

    fn forwarded(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut hops = Vec::new();
        match self.header {
            ProxyHeader::Forwarded => {
                for value in headers.get_all("forwarded") {
                    let text = value.to_str().unwrap_or_default();
                    hops.extend(text.split(',').map(|element| {
                        let mut pairs =
                            element.split(';').filter_map(|pair| pair.trim().split_once('='));
                        let client = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"));
                        client.and_then(|(_, node)| parse(node))
                    }));
                }
            }
            ProxyHeader::XForwardedFor => {
                for value in headers.get_all("x-forwarded-for") {
                    hops.extend(value.to_str().unwrap_or_default().split(',').map(parse));
                }
            }
        }
        let mut origin = peer;
        for hop in hops.into_iter().rev() {
            // Hops before an unparsable one cannot be trusted.
            let Some(hop) = hop else { break };
            origin = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        origin
    }
}

/// Parses `192.0.2.7`, `192.0.2.7:80` or `"[2001:db8::1]:80"`.
fn parse(node: &str) -> Option<IpAddr> {
    let node = node.trim().trim_matches('"');
    let bare = node.strip_prefix('[').and_then(|rest| rest.split(']').next());
    let address = bare.unwrap_or(node);
    let without_port = || address.rsplit_once(':').and_then(|(host, _)| host.parse().ok());
    let address: Option<IpAddr> = address.parse().ok().or_else(without_port);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin_in(header: ProxyHeader, headers: &[(&'static str, &str)]) -> String {
        let header_of = |(name, value): &(&'static str, &str)| {
            ((*name).parse().unwrap(), value.parse().unwrap())
        };
        let headers: HeaderMap = headers.iter().map(header_of).collect();
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()], header);
        proxies.forwarded("10.0.0.1".parse().unwrap(), &headers).to_string()
    }

    fn origin(headers: &[(&'static str, &str)]) -> String {
        origin_in(ProxyHeader::XForwardedFor, headers)
    }

    #[test]
    fn the_last_hop_that_is_not_a_trusted_proxy_is_the_client() {
        let from = |value| origin(&[("x-forwarded-for", value)]);
        assert_eq!(from("192.0.2.1"), "192.0.2.1");
        assert_eq!(from("1.1.1.1, 192.0.2.1"), "192.0.2.1");
        assert_eq!(from("1.1.1.1, 192.0.2.1, 10.0.0.2"), "192.0.2.1");
        assert_eq!(from("192.0.2.1, nonsense"), "10.0.0.1");
        assert_eq!(origin(&[]), "10.0.0.1");
    }

    #[test]
    fn only_the_configured_header_is_trusted() {
        let both = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=\"[2001:db8::1]:80\";proto=https"),
        ];
        assert_eq!(origin(&both), "192.0.2.1");
        assert_eq!(origin_in(ProxyHeader::Forwarded, &both), "2001:db8::1");
        assert_eq!(origin(&[("forwarded", "for=192.0.2.9")]), "10.0.0.1");
    }
}
