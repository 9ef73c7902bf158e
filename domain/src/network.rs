use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};

/// An address range, like `10.0.0.0/8` or `2001:db8::/32`; a single address is a range of one.
///
/// An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) is treated as the IPv4 address, both in ranges
/// and in the addresses that are compared with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network(IpNet);

/// The text is not a valid address range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a range of addresses looks like `10.0.0.0/8`, `2001:db8::/32` or `192.0.2.7`")]
pub struct BadNetwork;

/// Prefix length of `::ffff:0:0/96`, the range of IPv4-mapped IPv6 addresses.
const MAPPED: u8 = 96;

impl Network {
    /// True if the address is in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// True if every address of `other` is in the range.
    pub fn covers(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// Creates a range from one of its addresses and a prefix length in bits.
    ///
    /// # Errors
    /// When the prefix is longer than the address.
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
        // A wider range that includes the mapped ones would contain addresses that never match.
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
        let full_length = if address.is_ipv4() { 32 } else { 128 };
        let parse_prefix = |prefix: &str| {
            let only_digits = !prefix.is_empty() && prefix.bytes().all(|b| b.is_ascii_digit());
            prefix.parse().ok().filter(|_| only_digits).ok_or(BadNetwork)
        };
        Self::new(address, prefix.map_or(Ok(full_length), parse_prefix)?)
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
    fn a_range_contains_its_addresses_in_either_notation() {
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
    fn an_invalid_range_is_rejected() {
        for bad in ["", "10", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::ffff:0:0/90", "a/8"] {
            assert_eq!(bad.parse::<Network>(), Err(BadNetwork), "{bad}");
        }
    }

    #[test]
    fn a_wider_range_covers_a_narrower_one() {
        assert!(network("10.0.0.0/8").covers(&network("10.1.0.0/16")));
        assert!(!network("10.1.0.0/16").covers(&network("10.0.0.0/8")));
        assert!(!network("0.0.0.0/0").covers(&network("::/0")));
    }
}
