//! A store of credentials that ends with the process: for a client that stands alone, and for tokens that can be asked
//! for anew.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bowline_model::{
    Secret,
    credential::{CREDENTIALS_MAX, CredentialAnswer, CredentialError, CredentialStore, StoredCredential},
};
use jiff::Timestamp;

#[derive(Default)]
pub(crate) struct Memory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stored: HashMap<String, StoredCredential>,
    /// Holder and end.
    leases: HashMap<String, (String, Timestamp)>,
    /// The last one given: none is given twice.
    version: i64,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn version_of(&self, name: &str) -> i64 {
        self.stored.get(name).map_or(0, |stored| stored.version)
    }

    fn save(
        &mut self,
        name: &str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, CredentialError> {
        let version = self.version_of(name);
        if version != replaces {
            return Err(CredentialError::Changed { version });
        }
        room(&self.stored, name)?;
        self.version += 1;
        self.stored.insert(name.to_owned(), StoredCredential { version: self.version, value, expires_at });
        Ok(self.version)
    }

    fn lease(
        &mut self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<bool, CredentialError> {
        self.leases.retain(|_, (_, until)| now < *until);
        if self.leases.get(name).is_some_and(|(by, _)| by != holder) {
            return Ok(false);
        }
        room(&self.leases, name)?;
        let until = now.checked_add(ttl).unwrap_or(Timestamp::MAX);
        self.leases.insert(name.to_owned(), (holder.to_owned(), until));
        Ok(true)
    }
}

fn room<T>(held: &HashMap<String, T>, name: &str) -> Result<(), CredentialError> {
    if held.len() < CREDENTIALS_MAX || held.contains_key(name) {
        return Ok(());
    }
    Err(CredentialError::Limit(format!(
        "{CREDENTIALS_MAX} credentials are held in memory: there is no room for {name}"
    )))
}

fn answer<'a, T: Send + 'a>(answer: Result<T, CredentialError>) -> CredentialAnswer<'a, T> {
    Box::pin(std::future::ready(answer))
}

impl CredentialStore for Memory {
    fn load<'a>(&'a self, name: &'a str) -> CredentialAnswer<'a, Option<StoredCredential>> {
        answer(Ok(self.lock().stored.get(name).cloned()))
    }

    fn save<'a>(
        &'a self,
        name: &'a str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> CredentialAnswer<'a, i64> {
        answer(self.lock().save(name, replaces, value, expires_at))
    }

    fn forget<'a>(&'a self, name: &'a str, version: i64) -> CredentialAnswer<'a, ()> {
        let mut state = self.lock();
        let stored = state.version_of(name);
        if stored != 0 && stored != version {
            return answer(Err(CredentialError::Changed { version: stored }));
        }
        state.stored.remove(name);
        answer(Ok(()))
    }

    fn names<'a>(&'a self, prefix: &'a str) -> CredentialAnswer<'a, Vec<String>> {
        let state = self.lock();
        let mut names: Vec<_> =
            state.stored.keys().filter(|name| name.starts_with(prefix)).cloned().collect();
        names.sort_unstable();
        answer(Ok(names))
    }

    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        ttl: Duration,
    ) -> CredentialAnswer<'a, bool> {
        answer(self.lock().lease(name, holder, now, ttl))
    }

    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> CredentialAnswer<'a, ()> {
        let mut state = self.lock();
        if state.leases.get(name).is_some_and(|(by, _)| by == holder) {
            state.leases.remove(name);
        }
        answer(Ok(()))
    }
}
