//! Values between runs.

use std::{any::type_name, fmt, time::Duration};

use bowline_model::{Error, Family, Payload, Result};
use bowline_store::{
    Ask, StateAsk, StateOp,
    state::{STATE_VALUE_BYTES_MAX, shared_space, workflow_space},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::Context;

/// Longest key of a value.
const KEY_BYTES_MAX: usize = 480;

/// How often [`State::update`] tries again when others change the value meanwhile.
const UPDATES_MAX: usize = 100;

impl Context {
    /// A value that outlives the run, one of this workflow's: a cursor, a counter, what was seen last.
    ///
    /// A value is any type of serde's, up to 1 MiB; its key is up to 480 bytes. See [`State`] for what can be done.
    ///
    /// # Durability
    /// What is read or changed is recorded in the same commit: after a crash the code receives what it received, and no
    /// change is made twice. The commit comes before the code goes on.
    ///
    /// ```no_run
    /// # async fn code(cx: bowline_engine::Context) -> bowline_model::Result<()> {
    /// let seen: Option<u64> = cx.state("last order").get().await?;
    /// cx.state("last order").set(&(seen.unwrap_or(0) + 1)).await?;
    /// let runs = cx.state("runs").add(1).await?;
    /// # let _ = runs;
    /// # Ok(()) }
    /// ```
    pub fn state(&self, key: impl Into<String>) -> State<'_> {
        let space = workflow_space(self.board().run.workflow.as_str());
        State { cx: self, space, word: "", key: key.into(), expires: None }
    }

    /// The same, of all workflows of the app. See [`state`](Self::state).
    pub fn shared_state(&self, key: impl Into<String>) -> State<'_> {
        State { cx: self, space: shared_space(), word: "shared ", key: key.into(), expires: None }
    }
}

/// A value between runs. Made by [`Context::state`] and [`Context::shared_state`].
///
/// Runs that change one value do it one after the other. Between a [`get`](Self::get) and a [`set`](Self::set) others
/// may change it: count with [`add`](Self::add), and for all else use [`update`](Self::update).
///
/// # Durability
/// Each read and each change is one entry of the journal, in one commit with the change.
#[must_use = "it does nothing until one of its methods is awaited"]
pub struct State<'a> {
    cx: &'a Context,
    space: String,
    word: &'static str,
    key: String,
    expires: Option<Duration>,
}

/// A value with its version, for [`State::compare_and_set`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value; `None` if there is none.
    pub value: Option<T>,
    /// Its version; 0 if there is none. Higher after every change, and never the same again.
    pub version: u64,
}

/// What the store answers.
#[derive(Deserialize)]
struct Told {
    value: Box<RawValue>,
    version: u64,
    done: bool,
}

impl State<'_> {
    /// How long the value stays once it is changed; a counter's time runs from the first [`add`](Self::add) that says
    /// it until one says another. Without it a value stays for ever, and an `add` leaves the time as it is.
    ///
    /// A value past its time is not there any more.
    pub fn expires(mut self, after: Duration) -> Self {
        self.expires = Some(after);
        self
    }

    /// The value, if there is one.
    ///
    /// # Errors
    /// If the value is no `T`.
    pub async fn get<T: DeserializeOwned>(self) -> Result<Option<T>> {
        Ok(self.versioned().await?.value)
    }

    /// The value with its version.
    ///
    /// # Errors
    /// If the value is no `T`.
    pub async fn versioned<T: DeserializeOwned>(self) -> Result<Versioned<T>> {
        let told = self.ask("get", StateOp::Get).await?;
        self.read(&told)
    }

    /// Replaces the value, or makes it.
    ///
    /// # Errors
    /// If the value has no JSON form or more than 1 MiB.
    pub async fn set<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let (value, expires_at) = (self.encode(value)?, self.expires_at());
        self.ask("set", StateOp::Set { value, expires_at }).await.map(drop)
    }

    /// Replaces the value if it still has that version; 0: makes it if there is none. Says whether it did.
    ///
    /// # Errors
    /// If the value has no JSON form or more than 1 MiB.
    pub async fn compare_and_set<T: Serialize + ?Sized>(self, version: u64, value: &T) -> Result<bool> {
        let (value, expires_at) = (self.encode(value)?, self.expires_at());
        let op = StateOp::CompareAndSet { version, value, expires_at };
        Ok(self.ask("compare and set", op).await?.done)
    }

    /// Replaces the value by what `change` makes of it; begins again if another run changed it meanwhile. Yields the new
    /// value.
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set); or if others were faster 100 times.
    pub async fn update<T, F>(self, change: F) -> Result<T>
    where
        T: Serialize + DeserializeOwned,
        F: Fn(Option<T>) -> T,
    {
        for _ in 0..UPDATES_MAX {
            let before: Versioned<T> = self.again().versioned().await?;
            let after = change(before.value);
            if self.again().compare_and_set(before.version, &after).await? {
                return Ok(after);
            }
        }
        Err(Error::retryable(format!(
            "value \"{}\" was changed by others {UPDATES_MAX} times while it was updated; let fewer runs change it at once",
            self.key
        )))
    }

    /// Adds to a whole number, and yields the sum; one that is not there is 0.
    ///
    /// # Errors
    /// If the value is no whole number, or the sum does not fit 64 bits.
    pub async fn add(self, by: i64) -> Result<i64> {
        let op = StateOp::Add { by, expires_at: self.expires_at() };
        let told = self.ask("add", op).await?;
        self.read::<i64>(&told)?.value.ok_or_else(|| Error::permanent("a sum has a value"))
    }

    /// Removes the value. Says whether there was one.
    ///
    /// # Errors
    /// If it is asked where it may not be.
    pub async fn remove(self) -> Result<bool> {
        Ok(self.ask("remove", StateOp::Remove).await?.done)
    }

    fn again(&self) -> Self {
        let Self { cx, space, word, key, expires } = self;
        State { cx, space: space.clone(), word, key: key.clone(), expires: *expires }
    }

    fn expires_at(&self) -> Option<Timestamp> {
        self.expires.map(|after| self.cx.board().clock.now().checked_add(after).unwrap_or(Timestamp::MAX))
    }

    fn encode<T: Serialize + ?Sized>(&self, value: &T) -> Result<Payload> {
        let value = Payload::encode(value).map_err(|error| {
            Error::refused(format!("value \"{}\" cannot be written as JSON: {error}", self.key))
        })?;
        let bytes = value.as_bytes().len();
        if bytes > STATE_VALUE_BYTES_MAX {
            return Err(Error::refused(format!(
                "value \"{}\" has {bytes} bytes (limit {STATE_VALUE_BYTES_MAX}); keep large things in a table of your own \
                 (cx.transaction) or elsewhere",
                self.key
            )));
        }
        Ok(value)
    }

    /// Null and no version: there is no value. What is stored as null is there, and has one.
    fn read<T: DeserializeOwned>(&self, told: &Told) -> Result<Versioned<T>> {
        let value = match told.version {
            0 => None,
            _ => Some(serde_json::from_str(told.value.get()).map_err(|error| {
                let at = format!("line {}, column {}", error.line(), error.column());
                let wanted = type_name::<T>();
                Error::refused(format!("value \"{}\" is no {wanted} (at {at} of its JSON)", self.key))
            })?),
        };
        Ok(Versioned { value, version: told.version })
    }

    /// One entry: the operation is part of its name, so that other code that asks for something else is noticed.
    async fn ask(&self, verb: &'static str, op: StateOp) -> Result<Told> {
        if self.key.len() > KEY_BYTES_MAX {
            return Err(Error::refused(format!(
                "a value's key has {} bytes (limit {KEY_BYTES_MAX})",
                self.key.len()
            )));
        }
        let ask = StateAsk { space: self.space.clone(), key: self.key.clone(), op };
        let name = format!("{}{verb} {}", self.word, self.key);
        self.cx.ask_store("state", Family::State, &name, Ask::State(ask)).await
    }
}

impl fmt::Debug for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("space", &self.space).field("key", &self.key).finish_non_exhaustive()
    }
}
