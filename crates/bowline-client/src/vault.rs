//! Where tokens live: sealed in the store, asked for and renewed by tasks that outlive their callers.
//!
//! What comes in: tokens that a provider gave. What goes out: the same tokens, to the Apis that they are for. What must
//! never happen here: a token on disk that is not sealed, one in `Debug`, or a renewal that is cut off at shutdown.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use bowline_model::{
    Clock, Secret, Variables,
    credential::{CREDENTIALS_MAX, CredentialError, CredentialStore},
};
use jiff::Timestamp;
use tokio_util::task::TaskTracker;

use crate::{
    auth::{pkce::random_text, record::Record, slot::Slot},
    live::LiveSecret,
    settings::Settings,
};

mod consent;
mod memory;
mod seal;

pub use consent::{Begun, Callback, Connected, Connection, Consent, Standing};
use memory::Memory;
pub use seal::SealKeys;
pub(crate) use seal::TOKEN_KEY_VARIABLE;

/// Where the tokens of Apis with [`OAuth`](crate::OAuth) are kept.
///
/// Cheap to clone; clones are the same vault. An app has one for all its Apis: made before them, and bound to the store
/// when that is open. An [`Api`](crate::Api) that stands alone has one of its own in memory.
///
/// | Vault | Client's own tokens | Refresh tokens, consents |
/// |---|---|---|
/// | [`memory`](Vault::memory) | lost at exit, asked for anew | lost at exit |
/// | [`new`](Vault::new), and [`bind`](Vault::bind) | kept, shared by all nodes | kept, shared by all nodes |
/// | [`with_variables`](Vault::with_variables) without a key | lost at exit, asked for anew | a problem of the variables |
///
/// # Tokens that outlive the process
/// ```
/// use bowline_client::{Api, OAuth, SealKeys, Vault};
///
/// let keys = SealKeys::parse("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=").unwrap();
/// let vault = Vault::new(keys);
/// let crm = Api::new("crm")
///     .base_url("https://api.crm.example")
///     .vault(vault.clone())
///     .oauth(OAuth::client_credentials("https://id.crm.example/token").public_client("robot"));
/// assert_eq!(vault.connections()[0].api, "crm");
/// // vault.bind(store) as soon as there is one; vault.close().await at the end.
/// ```
///
/// # Durability
/// What [`CredentialStore::save`] returned for is on disk, sealed with AES-256-GCM. [`close`](Vault::close) waits for
/// renewals under way, so that no rotated refresh token is lost at shutdown.
#[derive(Clone)]
pub struct Vault {
    inner: Arc<Inner>,
}

struct Inner {
    place: Place,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    /// The Apis that keep tokens here, each as it was set up last. They live elsewhere; here is where consents find them.
    known: Mutex<BTreeMap<String, Vec<Weak<Settings>>>>,
    tasks: TaskTracker,
    /// This process, as leases know it.
    holder: OnceLock<String>,
}

enum Place {
    Memory(Memory),
    /// For what can be asked for anew only: there is no key.
    Unkeyed(Memory),
    Sealed {
        keys: SealKeys,
        store: OnceLock<Arc<dyn CredentialStore>>,
    },
}

/// What is stored, and as which version: 0 if nothing is.
pub(crate) struct Loaded<T = Record> {
    pub(crate) version: i64,
    pub(crate) record: Option<T>,
}

/// Why the store was of no use.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Another version is stored.
    Changed,
    Unavailable(String),
    /// A name, a value or the number of them passes a limit.
    Limit(String),
    /// What is stored cannot be opened.
    Unreadable {
        version: i64,
        what: String,
    },
}

impl Vault {
    /// A vault that ends with the process: for a client that stands alone. A refresh token that a provider rotated is lost
    /// at exit.
    ///
    /// # A program that ends soon
    /// ```
    /// use bowline_client::{Api, Vault};
    ///
    /// let crm = Api::new("crm").vault(Vault::memory());
    /// ```
    pub fn memory() -> Self {
        Self::at(Place::Memory(Memory::default()))
    }

    /// A vault that seals with those keys, and keeps in the store that it is [bound](Vault::bind) to.
    ///
    /// # A vault to be bound
    /// ```
    /// use bowline_client::{SealKeys, Vault};
    ///
    /// let vault = Vault::new(SealKeys::parse("q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=").unwrap());
    /// assert_eq!(format!("{vault:?}"), "Vault(SealKeys(1), bound: false)");
    /// ```
    pub fn new(keys: SealKeys) -> Self {
        Self::at(Place::Sealed { keys, store: OnceLock::new() })
    }

    /// As [`new`](Vault::new), with the keys of the variable `BOWLINE_TOKEN_KEY` or of the file that
    /// `BOWLINE_TOKEN_KEY_FILE` names. Without a key it keeps in memory what can be asked for anew, and an Api that has to
    /// keep more is a problem of its variables.
    ///
    /// # A key that is none
    /// ```
    /// use bowline_client::Vault;
    /// use bowline_model::Variables;
    ///
    /// let variables = Variables::new(|name| (name == "BOWLINE_TOKEN_KEY").then(|| "hunter2".into()));
    /// let vault = Vault::with_variables(&variables);
    /// assert_eq!(variables.problems()[0].0, "BOWLINE_TOKEN_KEY");
    /// ```
    pub fn with_variables(variables: &Variables) -> Self {
        let file = format!("{TOKEN_KEY_VARIABLE}_FILE");
        let (name, text) = match (variables.get(TOKEN_KEY_VARIABLE), variables.get(&file)) {
            (Some(text), _) => (TOKEN_KEY_VARIABLE, Ok(Secret::new(text))),
            (None, Some(path)) => {
                (file.as_str(), LiveSecret::file(&path, &file).map(|secret| secret.current()))
            }
            (None, None) => return Self::at(Self::without_key(variables)),
        };
        match text.and_then(|text| SealKeys::parse(text.expose())) {
            Ok(keys) => Self::new(keys),
            Err(what) => {
                variables.problem(name, what);
                Self::memory()
            }
        }
    }

    /// Tests keep nothing.
    fn without_key(variables: &Variables) -> Place {
        let memory = Memory::default();
        if variables.is_testing() { Place::Memory(memory) } else { Place::Unkeyed(memory) }
    }

    fn at(place: Place) -> Self {
        let (slots, known) = (Mutex::default(), Mutex::default());
        let inner = Inner { place, slots, known, tasks: TaskTracker::new(), holder: OnceLock::new() };
        Self { inner: Arc::new(inner) }
    }

    /// Says where tokens are kept from now on. The first store that it is told of is the one; a vault without keys keeps
    /// in memory. Before that, a call that needs a token fails and may be tried again.
    ///
    /// # The store of an app
    /// ```
    /// use std::sync::Arc;
    ///
    /// use bowline_client::{SealKeys, Vault};
    /// use bowline_model::credential::CredentialStore;
    ///
    /// fn bind(vault: &Vault, store: Arc<dyn CredentialStore>) {
    ///     vault.bind(store);
    /// }
    /// ```
    pub fn bind(&self, store: Arc<dyn CredentialStore>) {
        if let Place::Sealed { store: bound, .. } = &self.inner.place
            && bound.set(store).is_err()
        {
            tracing::warn!("the vault is bound to a store already: it stays there");
        }
    }

    /// Waits for the renewals under way. None begins after that: calls that need one are told to wait.
    ///
    /// # At the end of a program
    /// ```
    /// use bowline_client::Vault;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let vault = Vault::memory();
    /// vault.close().await;
    /// # }
    /// ```
    pub async fn close(&self) {
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        let slots: Vec<_> = lock(&self.inner.slots).values().cloned().collect();
        for slot in slots {
            let Some(unsaved) = slot.unsaved() else { continue };
            let ends = unsaved.record.access.as_ref().and_then(|token| token.expires_at);
            if let Err(trouble) = self.save(&slot.name, unsaved.replaces, &*unsaved.record, ends).await {
                tracing::error!(
                    name = slot.name,
                    ?trouble,
                    "a new refresh token could not be saved, and is lost"
                );
            }
        }
    }

    /// Consents for its Apis: begun, finished, looked at.
    ///
    /// # Who is connected
    /// ```
    /// use bowline_client::Vault;
    ///
    /// let consent = Vault::memory().consent();
    /// ```
    pub fn consent(&self) -> Consent {
        Consent::new(self.clone())
    }

    /// Its Apis, by name.
    ///
    /// # A list for a page
    /// ```
    /// use bowline_client::{Api, OAuth, Vault};
    ///
    /// let vault = Vault::memory();
    /// let oauth = OAuth::client_credentials("https://id.crm.example/token").public_client("robot");
    /// let crm = Api::new("crm").vault(vault.clone()).oauth(oauth);
    /// assert_eq!(vault.connections()[0].grant, "client credentials");
    /// ```
    pub fn connections(&self) -> Vec<Connection> {
        let names: Vec<String> = lock(&self.inner.known).keys().cloned().collect();
        let known = names.iter().filter_map(|name| self.known(name));
        known.filter_map(|settings| Connection::of(&settings)).collect()
    }

    /// What is wrong with a vault that must not forget; `None` for one that keeps, or that was chosen knowingly.
    pub(crate) fn forgets(&self) -> Option<&'static str> {
        match self.inner.place {
            Place::Memory(_) | Place::Sealed { .. } => None,
            Place::Unkeyed(_) => Some("make one with `openssl rand -base64 32`"),
        }
    }

    /// Remembers an Api, as it is set up now.
    pub(crate) fn know(&self, settings: &Arc<Settings>) {
        let mut known = lock(&self.inner.known);
        let same = known.entry(settings.name.clone()).or_default();
        same.retain(|settings| settings.strong_count() > 0);
        same.push(Arc::downgrade(settings));
    }

    /// The Api of that name that was set up last and is still there.
    pub(crate) fn known(&self, api: &str) -> Option<Arc<Settings>> {
        lock(&self.inner.known).get(api)?.iter().rev().find_map(Weak::upgrade)
    }

    /// What this process knows of a credential.
    pub(crate) fn slot(&self, name: &str) -> Arc<Slot> {
        let mut slots = lock(&self.inner.slots);
        if slots.len() >= CREDENTIALS_MAX && !slots.contains_key(name) {
            // All but those somebody is at work with are in the store, too.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.is_busy());
        }
        slots.entry(name.to_owned()).or_insert_with(|| Arc::new(Slot::new(name))).clone()
    }

    /// The names of the stored credentials that begin so.
    async fn names(&self, start: &str) -> Result<Vec<String>, Trouble> {
        Ok(self.store()?.names(start).await?)
    }

    /// Removes what is stored under that name.
    async fn forget(&self, name: &str, version: i64) -> Result<(), Trouble> {
        Ok(self.store()?.forget(name, version).await?)
    }

    /// Runs a task that [`close`](Vault::close) waits for. After that it is dropped unstarted.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if !self.inner.tasks.is_closed() {
            self.inner.tasks.spawn(task);
        }
    }

    fn store(&self) -> Result<&dyn CredentialStore, Trouble> {
        match &self.inner.place {
            Place::Memory(memory) | Place::Unkeyed(memory) => Ok(memory),
            Place::Sealed { store, .. } => {
                let store =
                    store.get().ok_or_else(|| Trouble::Unavailable("the store is not open yet".into()))?;
                Ok(&**store)
            }
        }
    }

    pub(crate) async fn load<T: serde::de::DeserializeOwned>(
        &self,
        name: &str,
    ) -> Result<Loaded<T>, Trouble> {
        let Some(stored) = self.store()?.load(name).await? else {
            return Ok(Loaded { version: 0, record: None });
        };
        let version = stored.version;
        let text = match &self.inner.place {
            Place::Memory(_) | Place::Unkeyed(_) => Ok(stored.value),
            Place::Sealed { keys, .. } => keys.open(name, &stored.value),
        };
        let read = |text: Secret| {
            // Not the error itself: it may show a piece of the text.
            serde_json::from_str(text.expose())
                .map_err(|_| format!("what is stored of {name} has another form"))
        };
        let record = text.and_then(read).map_err(|what| Trouble::Unreadable { version, what })?;
        Ok(Loaded { version, record: Some(record) })
    }

    /// Saves in place of that version; the new one is on disk when this returns.
    pub(crate) async fn save(
        &self,
        name: &str,
        replaces: i64,
        record: &impl serde::Serialize,
        expires_at: Option<Timestamp>,
    ) -> Result<i64, Trouble> {
        let text = Secret::new(serde_json::to_string(record).expect("text, times and lists are JSON"));
        let value = match &self.inner.place {
            Place::Memory(_) | Place::Unkeyed(_) => text,
            Place::Sealed { keys, .. } => keys.seal(name, text.expose()).map_err(Trouble::Unavailable)?,
        };
        Ok(self.store()?.save(name, replaces, value, expires_at).await?)
    }

    pub(crate) async fn lease(&self, name: &str, clock: &dyn Clock, ttl: Duration) -> Result<bool, Trouble> {
        Ok(self.store()?.lease(name, self.holder(clock), clock.now(), ttl).await?)
    }

    /// Gives a lease back. If that fails it ends by itself.
    pub(crate) async fn release(&self, name: &str, clock: &dyn Clock) {
        if let Ok(store) = self.store()
            && let Err(error) = store.release(name, self.holder(clock)).await
        {
            tracing::debug!(name, %error, "a lease was not given back, and will end by itself");
        }
    }

    fn holder(&self, clock: &dyn Clock) -> &str {
        self.inner.holder.get_or_init(|| random_text(clock).expose().to_owned())
    }
}

impl From<CredentialError> for Trouble {
    fn from(error: CredentialError) -> Self {
        match error {
            CredentialError::Changed { .. } => Self::Changed,
            CredentialError::Limit(what) => Self::Limit(what),
            CredentialError::Unavailable(_) => Self::Unavailable(error.to_string()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shows what kind it is.
impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.place {
            Place::Memory(_) => f.write_str("Vault(in memory)"),
            Place::Unkeyed(_) => f.write_str("Vault(in memory: there is no key)"),
            Place::Sealed { keys, store } => write!(f, "Vault({keys:?}, bound: {})", store.get().is_some()),
        }
    }
}
