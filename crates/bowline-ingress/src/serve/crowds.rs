//! How many connections one client has: at most its share, so that others find a place.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{TrustedProxies, sources};

/// Of all connections, the part that one client may have.
const SHARE: usize = 4;

/// Connections by client. Holds only clients that have one.
pub(super) struct Crowds {
    proxies: TrustedProxies,
    share_max: usize,
    connections: Mutex<HashMap<u128, usize>>,
}

/// One of a client's connections, until it is dropped.
pub(super) struct Member {
    crowds: Arc<Crowds>,
    network: u128,
}

/// The client has its share already.
pub(super) struct TooMany;

impl Crowds {
    pub(super) fn new(proxies: TrustedProxies, connections_max: usize) -> Self {
        Self { proxies, share_max: (connections_max / SHARE).max(1), connections: Mutex::default() }
    }

    /// One more connection of that peer; `None` if it is a proxy, which may have them all.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr) -> Result<Option<Member>, TooMany> {
        if !self.proxies.is_client(peer) {
            return Ok(None);
        }
        let network = sources::network(peer);
        let mut connections = self.lock();
        let number = connections.entry(network).or_default();
        if *number >= self.share_max {
            return Err(TooMany);
        }
        *number += 1;
        Ok(Some(Member { crowds: Arc::clone(self), network }))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, usize>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut connections = self.crowds.lock();
        if let Some(number) = connections.get_mut(&self.network) {
            *number -= 1;
            if *number == 0 {
                connections.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_share_and_a_proxy_all() {
        let crowds = Arc::new(Crowds::new(TrustedProxies::parse("10.0.0.0/8").unwrap(), 8));
        let enter = |peer: &str| crowds.enter(peer.parse().unwrap());
        let first = enter("192.0.2.1").ok();
        let _second = enter("::ffff:192.0.2.1").ok();
        assert!(enter("192.0.2.1").is_err());
        assert!(enter("192.0.2.2").is_ok());
        assert!((0..100).all(|_| matches!(enter("10.0.0.1"), Ok(None))));
        drop(first);
        assert!(enter("192.0.2.1").is_ok());
        drop(_second);
        assert_eq!(crowds.lock().len(), 0, "only who is here is counted");
    }
}
