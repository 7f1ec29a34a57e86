//! A store of credentials that tests can look into, stop and break: two vaults on one are two nodes.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bowline_model::{
    Secret,
    credential::{CredentialAnswer, CredentialError, CredentialStore, StoredCredential},
};
use jiff::Timestamp;

#[derive(Default)]
pub(crate) struct Shelf(Mutex<State>);

#[derive(Default)]
struct State {
    stored: HashMap<String, StoredCredential>,
    leases: HashMap<String, (String, Timestamp)>,
    version: i64,
    /// So many saves fail before they are made.
    failing_saves: u32,
    saves: u32,
}

impl Shelf {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Everything on it, as an attacker would see it.
    pub(crate) fn all(&self) -> String {
        let state = self.0.lock().unwrap();
        state.stored.iter().map(|(name, stored)| format!("{name} {}\n", stored.value.expose())).collect()
    }

    /// As a backup is.
    pub(crate) fn copy(&self) -> HashMap<String, StoredCredential> {
        self.0.lock().unwrap().stored.clone()
    }

    pub(crate) fn put_back(&self, copy: HashMap<String, StoredCredential>) {
        self.0.lock().unwrap().stored = copy;
    }

    pub(crate) fn fail_saves(&self, saves: u32) {
        self.0.lock().unwrap().failing_saves = saves;
    }

    pub(crate) fn saves(&self) -> u32 {
        self.0.lock().unwrap().saves
    }

    /// Until when somebody has the lease of that name.
    pub(crate) fn leased_until(&self, name: &str) -> Option<Timestamp> {
        self.0.lock().unwrap().leases.get(name).map(|(_, until)| *until)
    }

    /// As a node does that died while it renewed.
    pub(crate) fn lease_to_a_dead_node(&self, name: &str, until: Timestamp) {
        self.0.lock().unwrap().leases.insert(name.to_owned(), ("a dead node".to_owned(), until));
    }
}

impl CredentialStore for Shelf {
    fn load<'a>(&'a self, name: &'a str) -> CredentialAnswer<'a, Option<StoredCredential>> {
        let stored = self.0.lock().unwrap().stored.get(name).cloned();
        Box::pin(async move { Ok(stored) })
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> CredentialAnswer<'a, i64> {
        Box::pin(async move {
            let mut state = self.0.lock().unwrap();
            if state.failing_saves > 0 {
                state.failing_saves -= 1;
                return Err(CredentialError::Unavailable("the disk is full".into()));
            }
            let version = state.stored.get(name).map_or(0, |stored| stored.version);
            if version != replaces {
                return Err(CredentialError::Changed { version });
            }
            state.version += 1;
            state.saves += 1;
            let version = state.version;
            state.stored.insert(name.to_owned(), StoredCredential { version, value, expires_at });
            Ok(version)
        })
    }

    fn forget<'a>(&'a self, name: &'a str, _version: i64) -> CredentialAnswer<'a, ()> {
        self.0.lock().unwrap().stored.remove(name);
        Box::pin(async { Ok(()) })
    }

    fn names<'a>(&'a self, prefix: &'a str) -> CredentialAnswer<'a, Vec<String>> {
        let state = self.0.lock().unwrap();
        let names = state.stored.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        Box::pin(async move { Ok(names) })
    }

    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        ttl: Duration,
    ) -> CredentialAnswer<'a, bool> {
        let mut state = self.0.lock().unwrap();
        let free = state.leases.get(name).is_none_or(|(by, until)| by == holder || *until <= now);
        if free {
            state.leases.insert(name.to_owned(), (holder.to_owned(), now + ttl));
        }
        Box::pin(async move { Ok(free) })
    }

    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> CredentialAnswer<'a, ()> {
        let mut state = self.0.lock().unwrap();
        if state.leases.get(name).is_some_and(|(by, _)| by == holder) {
            state.leases.remove(name);
        }
        Box::pin(async { Ok(()) })
    }
}
