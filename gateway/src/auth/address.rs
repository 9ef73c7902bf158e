use std::net::IpAddr;

use ffapi_domain::Network;
use poem::{Request, http::HeaderMap};
use serde::{Deserialize, Serialize};

/// The proxies whose word on where a request comes from is believed, and the header in which they
/// write it. Any other one is the client's own, which a proxy passes on as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Proxies {
    trusted: Vec<Network>,
    header: ProxyHeader,
}

/// The header that a proxy writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// As most do.
    #[default]
    XForwardedFor,
    /// As RFC 7239 has it.
    Forwarded,
}

impl Proxies {
    pub(crate) const fn new(trusted: Vec<Network>, header: ProxyHeader) -> Self {
        Self { trusted, header }
    }

    /// True of an address that is a trusted proxy's.
    pub(crate) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(address))
    }

    /// From where a request comes: its peer, or, if that is a trusted proxy, the last address in
    /// its header that is none.
    pub(crate) fn origin(&self, request: &Request) -> Option<IpAddr> {
        let peer = request.remote_addr().as_socket_addr()?.ip().to_canonical();
        Some(if self.trusts(peer) { self.told(peer, request.headers()) } else { peer })
    }

    /// True if a trusted proxy brought the request.
    pub(crate) fn brought(&self, request: &Request) -> bool {
        let peer = request.remote_addr().as_socket_addr();
        peer.is_some_and(|peer| self.trusts(peer.ip().to_canonical()))
    }

    fn told(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut hops = Vec::new();
        match self.header {
            ProxyHeader::Forwarded => {
                for value in headers.get_all("forwarded") {
                    let text = value.to_str().unwrap_or_default();
                    hops.extend(text.split(',').map(|element| {
                        let mut pairs =
                            element.split(';').filter_map(|pair| pair.trim().split_once('='));
                        let of = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"));
                        of.and_then(|(_, node)| parse(node))
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
            // What a stranger wrote in front of it, or nobody can read, is worth nothing.
            let Some(hop) = hop else { break };
            origin = hop;
            if !self.trusts(hop) {
                break;
            }
        }
        origin
    }
}

/// `192.0.2.7`, `192.0.2.7:80`, `"[2001:db8::1]:80"`.
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

    fn told_in(header: ProxyHeader, headers: &[(&'static str, &str)]) -> String {
        let of = |(name, value): &(&'static str, &str)| {
            ((*name).parse().unwrap(), value.parse().unwrap())
        };
        let headers: HeaderMap = headers.iter().map(of).collect();
        let proxies = Proxies::new(vec!["10.0.0.0/8".parse().unwrap()], header);
        proxies.told("10.0.0.1".parse().unwrap(), &headers).to_string()
    }

    fn told(headers: &[(&'static str, &str)]) -> String {
        told_in(ProxyHeader::XForwardedFor, headers)
    }

    #[test]
    fn a_trusted_proxy_is_believed_as_far_as_it_saw_itself() {
        let from = |value| told(&[("x-forwarded-for", value)]);
        assert_eq!(from("192.0.2.1"), "192.0.2.1");
        assert_eq!(from("1.1.1.1, 192.0.2.1"), "192.0.2.1");
        assert_eq!(from("1.1.1.1, 192.0.2.1, 10.0.0.2"), "192.0.2.1");
        assert_eq!(from("192.0.2.1, nonsense"), "10.0.0.1");
        assert_eq!(told(&[]), "10.0.0.1");
    }

    #[test]
    fn a_header_that_the_proxy_does_not_write_is_the_clients_own() {
        let both = [
            ("x-forwarded-for", "192.0.2.1"),
            ("forwarded", "for=\"[2001:db8::1]:80\";proto=https"),
        ];
        assert_eq!(told(&both), "192.0.2.1");
        assert_eq!(told_in(ProxyHeader::Forwarded, &both), "2001:db8::1");
        assert_eq!(told(&[("forwarded", "for=192.0.2.9")]), "10.0.0.1");
    }
}
