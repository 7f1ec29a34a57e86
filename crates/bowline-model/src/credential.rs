//! Where refreshed tokens live: shared by all nodes, written before they are used.
//!
//! The protocol of a refresh: [`load`](CredentialStore::load); if the token is still good, use it. Else take the
//! [`lease`](CredentialStore::lease), load again (another may have refreshed meanwhile), call the provider,
//! [`save`](CredentialStore::save), and only then use the new token. No lock is held across the call. A lease keeps two
//! from asking the provider at once; that no token is lost does not hang on it, but on the version that a save replaces.

use std::{fmt, time::Duration};

use jiff::Timestamp;

use crate::{BoxFuture, Secret};

/// Longest name of a credential, and of a lease's holder.
pub const CREDENTIAL_NAME_BYTES_MAX: usize = 512;
/// Largest sealed value.
pub const CREDENTIAL_BYTES_MAX: usize = 64 * 1024;
/// Credentials in one store, and leases held at once.
pub const CREDENTIALS_MAX: usize = 10_000;
/// Longest lease. One that seems to last longer was taken by a clock that has been set back since: it is over.
pub const CREDENTIAL_LEASE_MAX: Duration = Duration::from_mins(10);

/// A stored credential: what it is, is the client's matter; the store keeps sealed bytes.
#[derive(Clone)]
pub struct StoredCredential {
    /// Above 0, raised at every save, and never given again: not even after the credential was forgotten.
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
        /// The version now stored; 0 if none is.
        version: i64,
    },
    /// The name, the value or the number of credentials passes a limit.
    #[error("{0}")]
    Limit(String),
    /// The store did not answer.
    #[error("credential store: {0}")]
    Unavailable(String),
}

/// A durable place for credentials, by name.
pub trait CredentialStore: Send + Sync + 'static {
    /// What is stored under that name.
    ///
    /// # Errors
    /// [`CredentialError::Unavailable`] if the store does not answer.
    fn load<'a>(&'a self, name: &'a str) -> CredentialAnswer<'a, Option<StoredCredential>>;

    /// Stores a value in place of version `replaces` (0: nothing is stored yet), and returns the new version.
    ///
    /// # Errors
    /// [`CredentialError::Changed`] if another version is stored; `Limit` past [`CREDENTIAL_NAME_BYTES_MAX`],
    /// [`CREDENTIAL_BYTES_MAX`] or [`CREDENTIALS_MAX`]; `Unavailable` if the store does not answer: then it may be
    /// stored or not.
    ///
    /// # Durability
    /// On disk when it returns. Repeating a save whose answer was lost is safe: the same value and time are stored once.
    fn save<'a>(
        &'a self,
        name: &'a str,
        replaces: i64,
        value: Secret,
        expires_at: Option<Timestamp>,
    ) -> CredentialAnswer<'a, i64>;

    /// Removes a credential that is at that version. One that is not there is removed already.
    ///
    /// # Errors
    /// [`CredentialError::Changed`] if another version is stored; `Unavailable` if the store does not answer.
    ///
    /// # Durability
    /// Gone from the disk when it returns.
    fn forget<'a>(&'a self, name: &'a str, version: i64) -> CredentialAnswer<'a, ()>;

    /// The names of the stored credentials that begin with `prefix`, in order.
    ///
    /// # Errors
    /// [`CredentialError::Unavailable`] if the store does not answer.
    fn names<'a>(&'a self, prefix: &'a str) -> CredentialAnswer<'a, Vec<String>>;

    /// Takes the right to refresh that credential for `ttl` (at most [`CREDENTIAL_LEASE_MAX`]) from `now`; `false` if
    /// another holder has it now. Its holder may take it again, for longer.
    ///
    /// # Errors
    /// [`CredentialError::Limit`] if a name is too long or [`CREDENTIALS_MAX`] leases are held; `Unavailable` if the
    /// store does not answer.
    ///
    /// # Durability
    /// A lease that outlives its holder ends with its time. A store that knows that its only process died ends all at
    /// once.
    fn lease<'a>(
        &'a self,
        name: &'a str,
        holder: &'a str,
        now: Timestamp,
        ttl: Duration,
    ) -> CredentialAnswer<'a, bool>;

    /// Gives the right back, if that holder has it.
    ///
    /// # Errors
    /// [`CredentialError::Unavailable`] if the store does not answer: the lease ends with its time.
    fn release<'a>(&'a self, name: &'a str, holder: &'a str) -> CredentialAnswer<'a, ()>;
}

/// What a [`CredentialStore`] answers.
pub type CredentialAnswer<'a, T> = BoxFuture<'a, Result<T, CredentialError>>;
