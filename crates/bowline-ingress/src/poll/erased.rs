//! The author's function without its types: a cursor as JSON in, items as JSON out.

use std::{fmt, sync::Arc};

use bowline_model::{BoxFuture, Error, Result};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Found, Poll};

/// What a poll can find: every type that can be written as JSON.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be what a poll finds: it cannot be written as JSON",
    label = "an item of this poll cannot be put on disk",
    note = "an item is on disk before its run begins, and the workflow reads it from there: derive both, as in \
            `#[derive(Serialize, Deserialize)] struct Order {{ .. }}`"
)]
pub trait PolledItem: Serialize + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + Send + 'static> PolledItem for T {}

/// What can say where a poll goes on: every owned type that can be written as JSON and read back.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a poll's cursor: it cannot be written as JSON and read back",
    label = "the cursor of this poll cannot be put on disk",
    note = "a cursor outlives the process: derive both, as in `#[derive(Serialize, Deserialize)] struct OrderCursor {{ .. }}`; \
            a poll that has none takes `Option<()>`"
)]
pub trait PollCursor: Serialize + DeserializeOwned + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + 'static> PollCursor for T {}

/// What a poll found, as JSON.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) items: Vec<AnswerItem>,
    pub(super) next: Option<Box<RawValue>>,
    pub(super) more: bool,
}

#[derive(Debug)]
pub(super) struct AnswerItem {
    pub(super) key: Option<String>,
    pub(super) body: Bytes,
}

/// Why a poll has no answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    /// The cursor on disk is not one that this build can read.
    Cursor(String),
    /// It failed, and may not the next time.
    Failed(Error),
}

type Ask = dyn Fn(Poll, Option<&RawValue>) -> std::result::Result<BoxFuture<'static, Result<Answer>>, String>
    + Send
    + Sync;

/// A poll's function, its types forgotten.
#[derive(Clone)]
pub struct Asking(Arc<Ask>);

impl Asking {
    /// That function.
    pub fn new<T, C, Fut>(ask: impl Fn(Poll, Option<C>) -> Fut + Send + Sync + 'static) -> Self
    where
        T: PolledItem,
        C: PollCursor,
        Fut: Future<Output = Result<Found<T, C>>> + Send + 'static,
    {
        Self(Arc::new(move |poll, cursor| {
            let cursor: Option<C> = cursor.map(read).transpose()?;
            let found = ask(poll, cursor);
            Ok(Box::pin(async move { written(found.await?) }))
        }))
    }

    pub(super) async fn ask(
        &self,
        poll: Poll,
        cursor: Option<&RawValue>,
    ) -> std::result::Result<Answer, NoAnswer> {
        let answer = (self.0)(poll, cursor).map_err(NoAnswer::Cursor)?;
        answer.await.map_err(NoAnswer::Failed)
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

/// Where it does not fit, and never a value: a cursor may be what a remote gave under a secret.
fn read<C: DeserializeOwned>(cursor: &RawValue) -> std::result::Result<C, String> {
    let mut json = serde_json::Deserializer::from_str(cursor.get());
    serde_path_to_error::deserialize(&mut json)
        .map_err(|error| format!("does not fit {} at `{}`", std::any::type_name::<C>(), error.path()))
}

fn written<T: Serialize, C: Serialize>(found: Found<T, C>) -> Result<Answer> {
    let unwritten = |what: &str, error: &serde_json::Error| {
        Error::permanent(format!("{what} cannot be written as JSON: {error}"))
    };
    let mut items = Vec::with_capacity(found.items.len());
    for (place, found) in found.items.into_iter().enumerate() {
        let body = serde_json::to_vec(&found.item);
        let body = body.map_err(|error| unwritten(&format!("item {}", place + 1), &error))?;
        items.push(AnswerItem { key: found.key, body: body.into() });
    }
    let next = found.next.map(|next| serde_json::value::to_raw_value(&next)).transpose();
    let next = next.map_err(|error| unwritten("the cursor", &error))?;
    Ok(Answer { items, next, more: found.more })
}
