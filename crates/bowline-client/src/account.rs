//! What belongs to one account of an Api: its limits, and the answers that were given to it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{cache::Cache, policy::Policy, settings::Settings};

/// The account of an Api that names none.
pub(crate) const DEFAULT_ACCOUNT: &str = "default";

/// An Api's name, and the account if it is not the default one.
pub(crate) fn shown_name(api: &str, account: &str) -> String {
    if account == DEFAULT_ACCOUNT { api.to_owned() } else { format!("{api}/{account}") }
}

/// Most accounts of one Api whose limits and answers are kept.
const ACCOUNTS_MAX: usize = 10_000;

/// One account.
pub(crate) struct Account {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) cache: Option<Cache>,
}

impl Account {
    pub(crate) fn new(name: &str, settings: &Settings) -> Self {
        let cache = settings.caching.map(Cache::new);
        let policy = Policy::new(&settings.rules, shown_name(&settings.name, name), settings.alerts.clone());
        Self { name: name.to_owned(), policy, cache }
    }
}

/// The accounts of one Api but the default one, for as long as there is room.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<HashMap<String, Arc<Account>>>);

impl Accounts {
    pub(crate) fn get(&self, name: &str, settings: &Settings) -> Arc<Account> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(name) {
            return account.clone();
        }
        if accounts.len() >= ACCOUNTS_MAX {
            // Those that no call uses now; what they learned, they learn again.
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        let account = Arc::new(Account::new(name, settings));
        accounts.insert(name.to_owned(), account.clone());
        account
    }
}
