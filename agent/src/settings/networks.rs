//! Sets of addresses: who may talk to the agent, and which proxies are believed.

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses and networks: `127.0.0.1`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address (10.0.0.7) nor a network (10.0.0.0/8)")]
pub struct NotANetwork(String);

impl Networks {
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, NotANetwork> {
        entries.iter().map(|entry| network(entry.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        // A socket that listens on [::] shows IPv4 callers as ::ffff:10.0.0.7.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(entry: &str) -> Result<IpNet, NotANetwork> {
    let entry = entry.trim();
    let address = || entry.parse::<IpAddr>().map(IpNet::from);
    entry.parse::<IpNet>().or_else(|_| address()).map_err(|_| NotANetwork(entry.into()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_and_networks_are_in_it_and_nothing_else() {
        let list = Networks::parse(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]).unwrap();
        for inside in ["10.255.0.1", "192.0.2.7", "2001:db8:1::1", "::ffff:10.0.0.1"] {
            assert!(list.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "127.0.0.1"] {
            assert!(!list.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!(!Networks::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_a_mistake() {
        for entry in ["10.0.0.0/33", "localhost"] {
            assert_eq!(Networks::parse(&[entry]), Err(NotANetwork(entry.into())));
        }
    }
}
