//! A store of credentials that ends with the process: for a client that stands alone, and for tokens that can be asked
//! for anew.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{
    BoxFuture, Secret,
    credential::{CredentialError, CredentialStore, StoredCredential},
};
use jiff::Timestamp;

/// Most credentials that are held: one is a tenant's.
pub(crate) const CREDENTIALS_MAX: usize = 10_000;

#[derive(Default)]
pub(crate) struct Memory {
    held: Mutex<HashMap<String, Held>>,
}

#[derive(Default)]
struct Held {
    stored: Option<StoredCredential>,
    lease: Option<(String, Timestamp)>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to what is held under that name.
    fn at<T>(&self, name: &str, act: impl FnOnce(&mut Held) -> T) -> Result<T, CredentialError> {
        let mut held = self.lock();
        if held.len() >= CREDENTIALS_MAX && !held.contains_key(name) {
            let full = format!("holds {CREDENTIALS_MAX} credentials in memory, and has no room for {name}");
            return Err(CredentialError::Unavailable(full));
        }
        Ok(act(held.entry(name.to_owned()).or_default()))
    }
}

impl CredentialStore for Memory {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<StoredCredential>, CredentialError>> {
        let stored = self.lock().get(name).and_then(|held| held.stored.clone());
        Box::pin(std::future::ready(Ok(stored)))
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<i64, CredentialError>> {
        let saved = self.at(name, |held| {
            let version = held.stored.as_ref().map_or(0, |stored| stored.version);
            if version != replaces {
                return Err(CredentialError::Changed { version });
            }
            held.stored = Some(StoredCredential { version: version + 1, value, expires_at });
            Ok(version + 1)
        });
        Box::pin(std::future::ready(saved.and_then(|saved| saved)))
    }

    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, CredentialError>> {
        let taken = self.at(name, |held| {
            let free = held.lease.as_ref().is_none_or(|(by, until)| by == holder || *until <= now);
            if free {
                held.lease = Some((holder.to_owned(), now.checked_add(ttl).unwrap_or(Timestamp::MAX)));
            }
            free
        });
        Box::pin(std::future::ready(taken))
    }

    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> BoxFuture<'a, Result<(), CredentialError>> {
        let released = self.at(name, |held| {
            if held.lease.as_ref().is_some_and(|(by, _)| by == holder) {
                held.lease = None;
            }
        });
        Box::pin(std::future::ready(released))
    }
}
