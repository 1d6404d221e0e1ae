//! Which addresses may talk to the agent.

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses and networks: `127.0.0.1`, `10.0.0.0/8`, `2001:db8::/32`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowList(Vec<IpNet>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowError {
    #[error("{0:?} is neither an address (10.0.0.7) nor a network (10.0.0.0/8)")]
    NotANetwork(String),
    #[error("allow = [] would let nobody in: leave it out to let everybody in who has the key")]
    Nobody,
}

impl AllowList {
    pub fn parse<T: AsRef<str>>(entries: &[T]) -> Result<Self, AllowError> {
        if entries.is_empty() {
            return Err(AllowError::Nobody);
        }
        entries.iter().map(|entry| network(entry.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        // A socket that listens on [::] shows IPv4 callers as ::ffff:10.0.0.7.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

fn network(entry: &str) -> Result<IpNet, AllowError> {
    let entry = entry.trim();
    let address = || entry.parse::<IpAddr>().map(IpNet::from);
    entry.parse::<IpNet>().or_else(|_| address()).map_err(|_| AllowError::NotANetwork(entry.into()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn addresses_and_networks_are_let_in_and_nobody_else() {
        let list = AllowList::parse(&["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]).unwrap();
        for inside in ["10.255.0.1", "192.0.2.7", "2001:db8:1::1", "::ffff:10.0.0.1"] {
            assert!(list.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["11.0.0.1", "192.0.2.8", "2001:db9::1", "127.0.0.1"] {
            assert!(!list.contains(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn what_lets_nobody_in_is_a_mistake() {
        assert_eq!(AllowList::parse::<&str>(&[]), Err(AllowError::Nobody));
        assert_eq!(AllowList::parse(&["10.0.0.0/33"]), Err(AllowError::NotANetwork("10.0.0.0/33".into())));
        assert_eq!(AllowList::parse(&["localhost"]), Err(AllowError::NotANetwork("localhost".into())));
    }
}
