//! One durable step of a workflow.

use std::{
    any::type_name,
    fmt,
    future::{Future, IntoFuture, poll_fn},
    pin::pin,
    time::Duration,
};

use bowline_model::{Attempt, BoxFuture, Error, Failure, Family, Payload, Result, RetryPolicy, Verdict};
use futures_util::future::{Either, select};
use serde::{Serialize, de::DeserializeOwned};
use tracing::Instrument;

use crate::{
    Context,
    action::Runnable,
    asking::Asking,
    board::{NewLeaf, NewWork, PAYLOAD_BYTES_MAX, Turn},
    leaf::Outcome,
    sending::LeafOptions,
};

/// A step that yields a `T`, described; awaiting it runs it. Made by [`Context::step`].
///
/// # Durability
/// The outcome is recorded once, a failure too. After a crash the code receives the recorded outcome and the effect
/// is not started again. An effect that was in flight at the crash, or whose outcome was not on disk yet, is attempted
/// again with the same idempotency key.
#[must_use = "a step does nothing until it is awaited"]
pub struct Step<'a, T> {
    asked: Ask<'a>,
    run: Box<Run<'a, T>>,
}

/// Runs the action of a step as it is asked for.
type Run<'a, T> = dyn FnOnce(Ask<'a>) -> BoxFuture<'a, Result<T>> + Send + 'a;

/// What a step says besides its action.
struct Ask<'a> {
    cx: &'a Context,
    name: &'a str,
    key: Option<String>,
    old_names: Vec<String>,
    policy: RetryPolicy,
    timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
}

impl<'a, T> Step<'a, T> {
    pub(crate) fn new(cx: &'a Context, name: &'a str, action: impl Runnable<Output = T> + 'a) -> Self
    where
        T: Send,
    {
        let asked = Ask {
            cx,
            name,
            key: None,
            old_names: vec![],
            policy: RetryPolicy::default(),
            timeout: None,
            attempt_timeout: None,
        };
        Self { asked, run: Box::new(|asked| Box::pin(run(asked, action))) }
    }

    /// Gives the whole step, retries included, this long. Past it the step fails, with what its last attempt said.
    ///
    /// A step that recovery finds past its time still gets one attempt.
    pub fn timeout(mut self, whole: Duration) -> Self {
        self.asked.timeout = Some(whole);
        self
    }

    /// Gives each attempt this long: 10 s for a call, 60 s for a closure unless set. What an attempt that ran out of
    /// time did is unknown; it is tried again.
    pub fn attempt_timeout(mut self, each: Duration) -> Self {
        self.asked.attempt_timeout = Some(each);
        self
    }

    /// Tries again by this schedule instead of [`RetryPolicy::default`].
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.asked.policy = policy;
        self
    }

    /// Tells equally named steps apart by what they are about instead of by their order: the key of a step in a loop,
    /// such as a record's id. Unique within its name; at most 512 bytes.
    pub fn key(mut self, key: impl fmt::Display) -> Self {
        self.asked.key = Some(key.to_string());
        self
    }

    /// The step's name in builds before this one: runs under way keep their recorded outcome and their idempotency
    /// key. Call it again for a still older name.
    pub fn was(mut self, old_name: impl Into<String>) -> Self {
        self.asked.old_names.push(old_name.into());
        self
    }

    /// Runs the step and turns a failure into `None`: for what is nice to have. The failure is recorded and shown.
    pub fn best_effort(self) -> BoxFuture<'a, Option<T>>
    where
        T: 'a,
    {
        Box::pin(async move { self.await.ok() })
    }
}

impl<'a, T> IntoFuture for Step<'a, T> {
    type Output = Result<T>;
    type IntoFuture = BoxFuture<'a, Result<T>>;

    fn into_future(self) -> Self::IntoFuture {
        (self.run)(self.asked)
    }
}

/// Asks for the outcome; makes attempts when told to; returns what was delivered.
async fn run<A: Runnable>(step: Ask<'_>, action: A) -> Result<A::Output> {
    let board = step.cx.board();
    let options = LeafOptions {
        policy: step.policy,
        timeout: step.timeout,
        attempt_timeout: step.attempt_timeout.unwrap_or_else(|| action.attempt_timeout()),
    };
    let leaf = NewLeaf {
        verb: "step",
        family: Family::Step,
        name: step.name.to_owned(),
        old_names: step.old_names,
        key: step.key,
        item: step.cx.item().clone(),
        output_type: type_name::<A::Output>(),
        work: NewWork::Effect { shape: action.shape(), options },
    };
    let leaf = Asking::ask(board, leaf).await?;
    // What the last attempt yielded, read back from its recorded form.
    let mut yielded = None;
    loop {
        match leaf.turn().await {
            Turn::Start(attempt) => {
                let span = tracing::info_span!("step", step = %leaf.key, attempt = attempt.number());
                let verdict = leaf.attempt(&action, attempt).instrument(span).await;
                board.arrive(
                    leaf.id,
                    verdict.map(|(value, payload)| {
                        yielded = Some(value);
                        payload
                    }),
                );
            }
            Turn::Take(Outcome::Done(payload)) => match yielded {
                Some(value) => return Ok(value),
                None => return leaf.decode(&payload).await,
            },
            Turn::Take(Outcome::Failed(failure)) => {
                return Err(Error::from(failure).from_entry(leaf.key.clone()));
            }
            // Only waits have a time of their own that ends them.
            Turn::Take(Outcome::TimedOut) => {}
        }
    }
}

/// No attempt may take longer, whatever a step says: 30 days.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// A client gives an attempt up by itself when its time is over, and knows more to say of it: it gets this much longer.
const EFFECTS_OWN_WORD: Duration = Duration::from_millis(100);

impl Asking<'_> {
    /// One attempt, in its time, its value encoded and read back: the code never sees what recovery could not give it.
    async fn attempt<A: Runnable>(&self, action: &A, attempt: Attempt) -> Verdict<(A::Output, Payload)> {
        let timeout = attempt.timeout();
        let _under_way = self.board.activity.attempt();
        let mut made = pin!(action.attempt(attempt));
        // Whoever asks for a step while this future is polled asks from inside a step.
        let marked = pin!(poll_fn(|cx| {
            let _inside = self.board.begin_attempt(self.key.clone());
            made.as_mut().poll(cx)
        }));
        match select(marked, self.board.clock.sleep(timeout.min(ATTEMPT_TIME_MAX) + EFFECTS_OWN_WORD)).await {
            Either::Left((Verdict::Done(value), _)) => self.encode(&value),
            Either::Left((verdict, _)) => verdict.map(|_| unreachable!("only Done holds a value")),
            Either::Right(_) => Verdict::Unknown(Failure::unknown(format!(
                "no outcome within {} ms; what it did is unknown (.attempt_timeout sets the limit)",
                timeout.as_millis()
            ))),
        }
    }

    fn encode<T: Serialize + DeserializeOwned>(&self, value: &T) -> Verdict<(T, Payload)> {
        let problem = match Payload::encode(value) {
            Ok(payload) if payload.as_bytes().len() > PAYLOAD_BYTES_MAX => format!(
                "its result has {} bytes (limit {PAYLOAD_BYTES_MAX}); return what the run needs, and keep the rest \
                 elsewhere",
                payload.as_bytes().len()
            ),
            Ok(payload) => match payload.decode() {
                Ok(value) => return Verdict::Done((value, payload)),
                Err(error) => format!(
                    "its result cannot be read back from JSON as {}: {error}; Serialize and Deserialize must agree",
                    type_name::<T>()
                ),
            },
            Err(error) => format!("its result cannot be written as JSON: {error}"),
        };
        Verdict::Unknown(Failure::unknown(format!("it was done, but not recorded: {problem}")).permanent())
    }
}

impl<T> fmt::Debug for Step<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ask { name, key, .. } = &self.asked;
        f.debug_struct("Step").field("name", name).field("key", key).finish_non_exhaustive()
    }
}
