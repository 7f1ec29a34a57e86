//! Where refreshed tokens live: shared by all nodes, written before they are used.
//!
//! The protocol of a refresh: [`load`](CredentialStore::load); if the token is still good, use it. Else take the
//! [`lease`](CredentialStore::lease), load again (another may have refreshed meanwhile), call the provider,
//! [`save`](CredentialStore::save), and only then use the new token. No lock is held across the call.

use std::{fmt, time::Duration};

use jiff::Timestamp;

use crate::{BoxFuture, Secret};

/// A stored credential: what it is, is the client's matter; the store keeps sealed bytes.
#[derive(Clone)]
pub struct StoredCredential {
    /// Raised at every save.
    pub version: i64,
    /// The sealed value.
    pub value: Secret,
    /// When the access token in it ends.
    pub expires_at: Option<Timestamp>,
}

impl fmt::Debug for StoredCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredCredential")
            .field("version", &self.version)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// Why a credential could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Somebody saved a newer version first: load again.
    #[error("credential was changed by another: it is at version {version} now")]
    Changed {
        /// The version now stored.
        version: i64,
    },
    /// The store did not answer.
    #[error("credential store: {0}")]
    Unavailable(String),
}

/// A durable place for credentials, by name.
pub trait CredentialStore: Send + Sync + 'static {
    /// What is stored under that name.
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<StoredCredential>, CredentialError>>;

    /// Stores a value in place of version `replaces` (0: nothing is stored yet), and returns the new version.
    ///
    /// # Durability
    /// On disk when it returns. Fails with [`CredentialError::Changed`] if another version is stored.
    fn save<'a>(
        &'a self,
        name: &'a str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> BoxFuture<'a, Result<i64, CredentialError>>;

    /// Takes the right to refresh that credential for `ttl` from `now`; `false` if another holder has it now.
    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        ttl: Duration,
    ) -> BoxFuture<'a, Result<bool, CredentialError>>;

    /// Gives the right back.
    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> BoxFuture<'a, Result<(), CredentialError>>;
}
