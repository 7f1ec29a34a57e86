//! One durable step of a workflow.

use std::{
    any::type_name,
    fmt,
    future::{Future, IntoFuture, poll_fn},
    pin::pin,
    time::Duration,
};

use bowline_model::{
    Attempt, BoxFuture, DeadReason, Error, Failure, Family, Payload, Result, RetryPolicy, Reversible, Verdict,
};
use futures_util::future::{Either, select};
use serde::{Serialize, de::DeserializeOwned};
use tracing::Instrument;

use crate::{
    Context,
    action::{CLOSURE_TIMEOUT, Runnable},
    asking::Asking,
    board::{NewLeaf, NewWork, PAYLOAD_BYTES_MAX, Turn},
    leaf::Outcome,
    sending::{Doubt, LeafOptions},
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
    after: After<'a, T>,
    run: Box<Run<'a, T>>,
}

/// Runs the action of a step as it is asked for.
type Run<'a, T> = dyn FnOnce(Ask<'a>, After<'a, T>) -> BoxFuture<'a, Result<T>> + Send + 'a;

/// What a step says of what comes after an attempt.
struct After<'a, T> {
    recheck: Option<Box<Recheck<'a, T>>>,
    undo: Option<Box<Undo<'a, T>>>,
}

/// Finds out what became of an attempt.
type Recheck<'a, T> = dyn Fn(String) -> BoxFuture<'a, Result<Option<T>>> + Send + Sync + 'a;
/// Says what undoes a success.
type Undo<'a, T> = dyn FnOnce(&T) -> Result<Payload> + Send + 'a;

/// What a step says besides its action.
struct Ask<'a> {
    cx: &'a Context,
    name: &'a str,
    key: Option<String>,
    old_names: Vec<String>,
    policy: RetryPolicy,
    timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
    at_most_once: bool,
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
            at_most_once: false,
        };
        let after = After { recheck: None, undo: None };
        Self { asked, after, run: Box::new(|asked, after| Box::pin(run(asked, after, action))) }
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

    /// Asks what became of an attempt before the step is sent again, for remotes that know no idempotency keys:
    /// `find` looks for what the step would have made. It gets the step's idempotency key, in case that was sent along.
    ///
    /// It is asked whenever an attempt was begun and its outcome is not known: after a crash, and after an answer that was
    /// lost. `Some(value)` is the step's outcome. `None` means that it did not happen, and it is sent. Its own failures are
    /// retried by the step's schedule; given up, the step has failed, its outcome unknown. A refusal of the step itself
    /// asks nothing.
    ///
    /// # Durability
    /// That an attempt begins is on disk before it does. What `find` yields is recorded as the step's outcome; a crash
    /// while it looks makes it look again.
    ///
    /// # An order that may be there already
    /// ```
    /// # use bowline_engine::Context;
    /// # use bowline_model::Result;
    /// # #[derive(serde::Serialize, serde::Deserialize)]
    /// # struct Order { id: u64 }
    /// # async fn find_order(reference: &str) -> Result<Option<Order>> { Ok(None) }
    /// # async fn place_order(reference: &str) -> Result<Order> { Ok(Order { id: 1 }) }
    /// # async fn flow(cx: Context) -> Result<()> {
    /// let order = cx.step("order", async || place_order("C-17").await).recheck(|_key| find_order("C-17")).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn recheck<Fut>(mut self, find: impl Fn(String) -> Fut + Send + Sync + 'a) -> Self
    where
        Fut: Future<Output = Result<Option<T>>> + Send + 'a,
    {
        self.after.recheck = Some(Box::new(move |key| Box::pin(find(key))));
        self
    }

    /// Never sends the step again once an attempt was begun whose outcome is not known: the run becomes a dead letter
    /// that names it. An operator looks at the remote and settles it, or retries the run: that is the word to send it again.
    ///
    /// An attempt that was refused is tried again as ever. With [`recheck`](Self::recheck), that is asked instead.
    ///
    /// # Durability
    /// That an attempt begins is on disk before it does.
    pub fn at_most_once(mut self) -> Self {
        self.asked.at_most_once = true;
        self
    }

    /// Says what undoes the step, if the run is [undone](crate::Workflow::undo_on_failure): on a cancel, on a discard with
    /// undo, or when it fails where its workflow says so. `call` gets what the step yielded.
    ///
    /// # Durability
    /// `call` is evaluated when the step succeeds, and written as data in the commit of the step's outcome. It is sent when
    /// the run is undone, newest first, under an idempotency key of its own, and tried again like a step. A call that cannot
    /// be data (it holds a secret, or a stream) fails the step, its outcome unknown: mend the call.
    pub fn undo<C: Reversible>(mut self, call: impl FnOnce(&T) -> C + Send + 'a) -> Self {
        self.after.undo = Some(Box::new(move |value| call(value).as_data()));
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
        (self.run)(self.asked, self.after)
    }
}

/// Asks for the outcome; makes attempts when told to; returns what was delivered.
async fn run<A: Runnable>(step: Ask<'_>, after: After<'_, A::Output>, action: A) -> Result<A::Output> {
    let board = step.cx.board();
    let After { recheck, mut undo } = after;
    let options = LeafOptions {
        doubt: match (&recheck, step.at_most_once) {
            (Some(_), _) => Doubt::Recheck { timeout: step.attempt_timeout.unwrap_or(CLOSURE_TIMEOUT) },
            (None, true) => Doubt::Park,
            (None, false) => Doubt::Repeat,
        },
        reversible: undo.is_some(),
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
                let verdict = leaf.attempt(&attempt, action.attempt(attempt.clone())).instrument(span).await;
                yielded = leaf.arrive(encoded(verdict, &mut undo));
            }
            Turn::Recheck(attempt) => {
                let Some(recheck) = &recheck else { continue };
                let span = tracing::info_span!("recheck", step = %leaf.key, attempt = attempt.number());
                let found = async { recheck(attempt.key().to_owned()).await.into() };
                match leaf.attempt(&attempt, found).instrument(span).await {
                    Verdict::Done(None) => board.arrive_not_done(leaf.id),
                    verdict => {
                        let found =
                            verdict.map(|found| found.expect("that there is none was looked at first"));
                        yielded = leaf.arrive(encoded(found, &mut undo));
                    }
                }
            }
            Turn::Take(Outcome::Done(payload)) => match yielded {
                Some(value) => return Ok(value),
                None => {
                    let value = leaf.decode(&payload).await?;
                    if leaf.note_settled_undo(&value, undo.take()) {
                        return Ok(value);
                    }
                    // The run stops here.
                    std::future::pending().await
                }
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
    /// One attempt, in its time.
    pub(crate) async fn attempt<T>(
        &self,
        attempt: &Attempt,
        made: impl Future<Output = Verdict<T>>,
    ) -> Verdict<T> {
        let timeout = attempt.timeout();
        let _under_way = self.board.activity.attempt();
        let mut made = pin!(made);
        // Whoever asks for a step while this future is polled asks from inside a step.
        let marked = pin!(poll_fn(|cx| {
            let _inside = self.board.begin_attempt(self.key.clone());
            made.as_mut().poll(cx)
        }));
        match select(marked, self.board.clock.sleep(timeout.min(ATTEMPT_TIME_MAX) + EFFECTS_OWN_WORD)).await {
            Either::Left((verdict, _)) => verdict,
            Either::Right(_) => Verdict::Unknown(Failure::unknown(format!(
                "no outcome within {} ms; what it did is unknown (.attempt_timeout sets the limit)",
                timeout.as_millis()
            ))),
        }
    }

    /// Hands over what an attempt came to; keeps the value for when it is delivered.
    fn arrive<T>(&self, verdict: Verdict<Recordable<T>>) -> Option<T> {
        let (mut yielded, mut undo) = (None, None);
        let verdict = verdict.map(|recordable| {
            yielded = Some(recordable.value);
            undo = recordable.undo;
            recordable.payload
        });
        self.board.arrive_undoable(self.id, verdict, undo);
        yielded
    }

    /// An operator said what the step yielded: what undoes it is noted now. A call that cannot be noted parks the run;
    /// says whether it goes on.
    fn note_settled_undo<T>(&self, value: &T, undo: Option<Box<Undo<'_, T>>>) -> bool {
        let Some(undo) = undo.filter(|_| self.board.lacks_settled_undo(&self.key)) else { return true };
        match undo_data(undo, value) {
            Ok(data) => {
                self.board.note_settled_undo(&self.key, data);
                true
            }
            Err(problem) => {
                let message = format!("step {} was settled as done, but {problem}", self.key);
                self.board.stop(DeadReason::Mismatch, message);
                false
            }
        }
    }
}

/// A value that can be recorded, with what undoes it.
struct Recordable<T> {
    value: T,
    payload: Payload,
    undo: Option<Payload>,
}

/// The value encoded and read back: the code never sees what recovery could not give it.
fn encoded<T: Serialize + DeserializeOwned>(
    verdict: Verdict<T>,
    undo: &mut Option<Box<Undo<'_, T>>>,
) -> Verdict<Recordable<T>> {
    let value = match verdict {
        Verdict::Done(value) => value,
        verdict => return verdict.map(|_| unreachable!("only Done holds a value")),
    };
    let problem = match read_back(&value) {
        Ok((value, payload)) => match undo.take().map(|undo| undo_data(undo, &value)).transpose() {
            Ok(undo) => return Verdict::Done(Recordable { value, payload, undo }),
            Err(problem) => problem,
        },
        Err(problem) => problem,
    };
    Verdict::Unknown(Failure::unknown(format!("it was done, but not recorded: {problem}")).permanent())
}

fn undo_data<T>(undo: Box<Undo<'_, T>>, value: &T) -> Result<Payload, String> {
    match undo(value) {
        Ok(data) if data.as_bytes().len() > PAYLOAD_BYTES_MAX => {
            let bytes = data.as_bytes().len();
            Err(format!("its undo has {bytes} bytes (limit {PAYLOAD_BYTES_MAX})"))
        }
        Ok(data) => Ok(data),
        Err(error) => Err(format!("its undo cannot be kept: {error}")),
    }
}

fn read_back<T: Serialize + DeserializeOwned>(value: &T) -> Result<(T, Payload), String> {
    let problem = match Payload::encode(value) {
        Ok(payload) if payload.as_bytes().len() > PAYLOAD_BYTES_MAX => format!(
            "its result has {} bytes (limit {PAYLOAD_BYTES_MAX}); return what the run needs, and keep the rest \
                 elsewhere",
            payload.as_bytes().len()
        ),
        Ok(payload) => match payload.decode() {
            Ok(value) => return Ok((value, payload)),
            Err(error) => format!(
                "its result cannot be read back from JSON as {}: {error}; Serialize and Deserialize must agree",
                type_name::<T>()
            ),
        },
        Err(error) => format!("its result cannot be written as JSON: {error}"),
    };
    Err(problem)
}

impl<T> fmt::Debug for Step<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ask { name, key, .. } = &self.asked;
        f.debug_struct("Step").field("name", name).field("key", key).finish_non_exhaustive()
    }
}
