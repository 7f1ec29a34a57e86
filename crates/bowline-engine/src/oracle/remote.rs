//! The remote that programs call: it answers when and how chance wills, does what came under one key once, and remembers
//! all of it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use bowline_model::{
    Attempt, Effect, Error, Failure, Fingerprint, Listing, Payload, Recall, Recalled, Repeat, Result,
    Reversible, Shape, Verdict,
};
use rand::{RngExt, rngs::StdRng};

use super::world::World;

/// Pages of a listing, at most.
const PAGES_MAX: u64 = 4;

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    Step {
        name: String,
        reversible: bool,
        /// Whether the remote does once what comes twice under one key.
        keyed: bool,
    },
    /// Whether that has happened which a step was to do.
    Find {
        reversible: bool,
    },
    Page(u64),
    /// What undoes the step that yielded this.
    Undo(u64),
}

/// An attempt that left.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) key: String,
    pub(super) what: What,
    /// It came to a limit first: nothing left.
    pub(super) unsent: bool,
    /// It has had its effect, answered or not.
    acted: bool,
    /// It is known that it will have none.
    is_void: bool,
}

/// What a search that found nothing yields.
pub(super) const NOTHING: u64 = 0;

/// What an effect made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) value: u64,
    pub(super) reversible: bool,
    pub(super) is_page: bool,
}

/// See the [module](self). What is in it outlives every process.
#[derive(Debug, Clone, Default)]
pub(super) struct Remote {
    /// Every attempt of all lives; the first has the number 1.
    pub(super) sent: Vec<Sent>,
    /// What was made, by idempotency key.
    pub(super) made: BTreeMap<String, Made>,
    /// Which idempotency key made that value.
    maker: BTreeMap<u64, String>,
    /// Values that were undone, with the idempotency keys under which they were.
    pub(super) undone: BTreeMap<u64, BTreeSet<String>>,
    /// Values that a person has undone.
    pub(super) by_hand: BTreeSet<u64>,
    /// Idempotency keys of undos whose answer arrived.
    pub(super) undos_answered: HashSet<String>,
}

impl Sent {
    /// Whether it may have had its effect.
    pub(super) fn may_have_happened(&self) -> bool {
        matches!(self.what, What::Step { .. }) && !self.unsent && !self.is_void
    }
}

impl Remote {
    /// The idempotency key that made that value.
    pub(super) fn maker_of(&self, value: u64) -> Option<&String> {
        self.maker.get(&value)
    }

    /// The idempotency key of the attempt of that number.
    pub(super) fn key_of(&self, attempt: usize) -> Option<&String> {
        Some(&self.sent.get(attempt.checked_sub(1)?)?.key)
    }

    pub(super) fn was_sent(&self, key: &str) -> bool {
        self.sent.iter().any(|sent| sent.key == key && !sent.unsent)
    }

    /// An attempt arrives. It may have its effect before anybody learns of it.
    pub(super) fn arrive(&mut self, what: What, key: &str, rng: &mut StdRng) -> usize {
        let acts_at_once = rng.random_range(0..3) == 0 && !matches!(what, What::Find { .. });
        self.sent.push(Sent { key: key.to_owned(), what, unsent: false, acted: false, is_void: false });
        let attempt = self.sent.len();
        if acts_at_once {
            self.act(attempt, rng);
        }
        attempt
    }

    /// The effect: once under each key.
    fn act(&mut self, attempt: usize, rng: &mut StdRng) -> u64 {
        let sent = &mut self.sent[attempt - 1];
        sent.acted = true;
        let reversible = match sent.what {
            What::Undo(value) => {
                self.undone.entry(value).or_default().insert(sent.key.clone());
                return 0;
            }
            What::Step { reversible, .. } => reversible,
            What::Page(_) => false,
            What::Find { .. } => unreachable!("who looks changes nothing"),
        };
        let (key, is_page) = (sent.key.clone(), matches!(sent.what, What::Page(_)));
        let made =
            self.made.entry(key.clone()).or_insert_with(|| Made { value: rng.random(), reversible, is_page });
        self.maker.insert(made.value, key);
        made.value
    }

    /// The answer to an attempt. Every value and message is used for one key, so that one in a wrong place is seen.
    pub(super) fn answer(&mut self, attempt: usize, rng: &mut StdRng) -> Verdict<u64> {
        let unique: u64 = rng.random();
        if let What::Find { .. } = self.sent[attempt - 1].what {
            return self.find(attempt, rng);
        }
        let acted = self.sent[attempt - 1].acted;
        match rng.random_range(0..20) {
            // What has happened is not refused.
            0..12 => self.done(attempt, rng),
            12 | 13 | 18 if acted => self.done(attempt, rng),
            12 | 13 => {
                self.sent[attempt - 1].is_void = true;
                Verdict::RetryAfter(Failure::refused(format!("busy {attempt} {unique}")))
            }
            14..17 => {
                if rng.random() {
                    self.act(attempt, rng);
                }
                Verdict::Unknown(Failure::unknown(format!("lost {attempt} {unique}")))
            }
            17 if !acted => {
                self.sent[attempt - 1].unsent = true;
                Verdict::Wait { wait: Duration::from_secs(2), why: "a limit".into() }
            }
            18 => {
                self.sent[attempt - 1].is_void = true;
                Verdict::Refused(Failure::refused(format!("no {attempt} {unique}")).permanent())
            }
            _ => Verdict::Unknown(Failure::unknown(format!("odd {attempt} {unique}")).permanent()),
        }
    }

    /// What was made under the key that was asked about. Who asks may be refused, or never answered.
    fn find(&mut self, attempt: usize, rng: &mut StdRng) -> Verdict<u64> {
        let unique: u64 = rng.random();
        let key = self.sent[attempt - 1].key.clone();
        match rng.random_range(0..10) {
            0..7 => match self.made.get(&key) {
                Some(made) => Verdict::Done(made.value),
                None => {
                    self.rule_out(&key);
                    Verdict::Done(NOTHING)
                }
            },
            7 | 8 => Verdict::RetryAfter(Failure::refused(format!("busy {attempt} {unique}"))),
            _ => Verdict::Refused(Failure::refused(format!("no {attempt} {unique}")).permanent()),
        }
    }

    /// Somebody looked: nothing was made under that key.
    pub(super) fn rule_out(&mut self, key: &str) {
        assert!(!self.made.contains_key(key), "{key} is ruled out, and happened");
        self.sent.iter_mut().filter(|sent| sent.key == key).for_each(|sent| sent.is_void = true);
    }

    fn done(&mut self, attempt: usize, rng: &mut StdRng) -> Verdict<u64> {
        let value = self.act(attempt, rng);
        let Sent { key, what, .. } = &self.sent[attempt - 1];
        if let What::Undo(_) = what {
            self.undos_answered.insert(key.clone());
        }
        Verdict::Done(value)
    }

    /// What was made, can be undone, and is there.
    pub(super) fn standing(&self) -> impl Iterator<Item = (&String, u64)> {
        let reversible = self.made.iter().filter(|(_, made)| made.reversible);
        let left = |value: &u64| !self.undone.contains_key(value) && !self.by_hand.contains(value);
        reversible.map(|(key, made)| (key, made.value)).filter(move |(_, value)| left(value))
    }

    /// Nothing is undone that did not happen, and nothing twice.
    pub(super) fn check_undone(&self) {
        for (value, keys) in &self.undone {
            let made = self.maker.get(value).and_then(|key| self.made.get(key));
            assert!(made.is_some_and(|made| made.reversible), "{value} was undone, and never made");
            assert_eq!(keys.len(), 1, "{value} was undone under several keys");
            assert!(!self.by_hand.contains(value), "{value} was undone, and a person had undone it");
        }
    }
}

/// A call to the remote.
pub(super) struct SimCall {
    world: Arc<World>,
    what: What,
}

impl SimCall {
    pub(super) fn new(world: Arc<World>, what: What) -> Self {
        Self { world, what }
    }
}

fn shape(path: String) -> Shape {
    let fingerprint = Fingerprint {
        api: "world".into(),
        method: "POST".into(),
        path,
        query: String::new(),
        body: String::new(),
    };
    Shape {
        fingerprint: Some(fingerprint),
        repeat: Repeat::Keyed { lifetime: Duration::from_secs(30 * 86_400) },
    }
}

impl Effect for SimCall {
    type Output = u64;

    fn shape(&self) -> Shape {
        shape(match &self.what {
            What::Step { name, .. } => format!("/{name}"),
            What::Page(page) => format!("/page/{page}"),
            What::Undo(value) => format!("/undo/{value}"),
            What::Find { .. } => unreachable!("no step is one"),
        })
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<u64> {
        self.world.call(self.what.clone(), attempt.key()).await
    }
}

impl Reversible for SimCall {
    fn as_data(&self) -> Result<Payload> {
        let What::Undo(value) = self.what else { return Err(Error::permanent("it undoes nothing")) };
        Ok(Payload::encode(&value)?)
    }
}

/// Finds the remote again.
pub(super) struct SimRecall(pub(super) Arc<World>);

impl fmt::Debug for SimRecall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimRecall")
    }
}

impl Recall for SimRecall {
    fn effect(&self, data: &Payload) -> Result<Box<dyn Recalled>> {
        let value: u64 = data.decode().map_err(Error::permanent)?;
        Ok(Box::new(SimCall::new(self.0.clone(), What::Undo(value))))
    }
}

/// What the remote lists, page by page. It changes under way.
pub(super) struct SimListing(pub(super) Arc<World>);

/// A page.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct SimPage {
    pub(super) value: u64,
    pub(super) items: Vec<u64>,
    pub(super) next: Option<u64>,
}

/// Reads a page.
pub(super) struct PageCall(SimCall);

impl Listing for SimListing {
    type Item = u64;
    type Cursor = u64;
    type Page = PageCall;

    fn page(&self, cursor: Option<&u64>) -> PageCall {
        PageCall(SimCall::new(self.0.clone(), What::Page(cursor.copied().unwrap_or(1))))
    }

    fn split(page: SimPage) -> (Vec<u64>, Option<u64>) {
        (page.items, page.next)
    }
}

impl Effect for PageCall {
    type Output = SimPage;

    fn shape(&self) -> Shape {
        Effect::shape(&self.0)
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<SimPage> {
        let What::Page(page) = self.0.what else { unreachable!("it reads pages") };
        let world = &self.0.world;
        let read = Effect::attempt(&self.0, attempt).await;
        read.map(|value| {
            // Mostly others than before; now and then one that was listed already.
            let items = (0..world.pick(4)).map(|_| world.pick(40) as u64).collect();
            let next = (page < PAGES_MAX && !world.one_in(3)).then_some(page + 1);
            SimPage { value, items, next }
        })
    }
}
