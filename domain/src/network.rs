use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// A range of addresses, like `10.0.0.0/8` or `2001:db8::/32`; one address is a range of its own.
///
/// An IPv4 address that is written as an IPv6 one (`::ffff:10.0.0.1`) is the IPv4 address, in ranges
/// and in what they are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a range of addresses looks like `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.7`")]
pub struct BadNetwork;

/// Bits of `::ffff:0:0/96`, under which IPv6 writes IPv4.
const MAPPED: u8 = 96;

impl Network {
    /// True if the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// True if every address of `other` is in it.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// From an address of it and the count of leading bits that all of them share.
    ///
    /// # Errors
    /// When an address has not so many bits.
    pub fn new(address: IpAddr, prefix: u8) -> Result<Self, BadNetwork> {
        let mapped = match address {
            IpAddr::V6(v6) if prefix >= MAPPED => v6.to_ipv4_mapped(),
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        };
        let net = match mapped {
            Some(v4) => Ipv4Net::new(v4, prefix.saturating_sub(MAPPED)).map(IpNet::V4),
            None => IpNet::new(address, prefix),
        };
        let net = net.map_err(|_| BadNetwork)?;
        // A wider range around the mapped ones would hold addresses that nothing is compared as.
        let mapped: IpNet = IpNet::new(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0).into(), MAPPED)
            .map_err(|_| BadNetwork)?;
        if prefix < MAPPED && prefix > 0 && net.contains(&mapped) {
            return Err(BadNetwork);
        }
        Ok(Self(net.trunc()))
    }
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| BadNetwork)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let digits = |prefix: &str| {
            let plain = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
            prefix.parse().ok().filter(|_| plain).ok_or(BadNetwork)
        };
        Self::new(address, prefix.map_or(Ok(whole), digits)?)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Network {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_holds_its_addresses_however_they_are_written() {
        for (range, address, inside) in [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("2001:db8::/32", "2001:db8:1::9", true),
            ("2001:db8::/32", "2001:db9::", false),
            ("0.0.0.0/0", "8.8.8.8", true),
            ("::/0", "8.8.8.8", false),
        ] {
            assert_eq!(network(range).contains(address.parse().unwrap()), inside, "{range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "10", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::ffff:0:0/90", "a/8"] {
            assert_eq!(bad.parse::<Network>(), Err(BadNetwork), "{bad}");
        }
    }

    #[test]
    fn a_range_is_within_a_wider_one() {
        assert!(network("10.0.0.0/8").covers(&network("10.1.0.0/16")));
        assert!(!network("10.1.0.0/16").covers(&network("10.0.0.0/8")));
        assert!(!network("0.0.0.0/0").covers(&network("::/0")));
    }
}
