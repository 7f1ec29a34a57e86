//! Where events enter Bowline: webhook routes, and the one door to the store.
//!
//! What comes in: HTTP requests of strangers, and the time that passes. What goes out: events and their runs, on disk; and answers that are
//! given only after that.
//!
//! What must never happen here: an event accepted before it is verified (see [`VerifiedEvent`]), an answer before the
//! commit, a run created elsewhere than in [`accept`](mod@accept), a body or a secret in a log line.
//!
//! | Module | Story |
//! |---|---|
//! | [`serve`](mod@serve) | sockets: TLS, deadlines, a cap on connections, an orderly end |
//! | [`TrustedProxies`], [`ClientLimit`] | who the client is, and how much it may send |
//! | [`door`] | from a request to an answer |
//! | [`callbacks`] | one message to a run, from whoever was given the address |
//! | [`route`] | one webhook's path, provider, subscriptions and limits |
//! | [`waiting`] | answers with a run's result |
//! | [`provider`], [`providers`] | who sent it, and is it genuine |
//! | [`delivery`] | what a genuine request holds: events, or a handshake |
//! | [`form`] | the JSON that is kept of a form |
//! | [`fetch`] | what has to be fetched to judge a request |
//! | [`inbox`] | folders into which others put files |
//! | [`poll`] | a remote without webhooks is asked for news |
//! | [`schedule`] | time that passes brings events |
//! | [`trigger`] | what schedules, polls and inboxes share: the way in, and the board that shows them |
//! | [`verified`] | the proof that somebody was asked |
//! | [`scrub`](mod@scrub) | which headers are kept with an event |
//! | [`accept`](mod@accept) | the only place where events become runs |

mod address;
mod body;
mod cors;
mod desk;
mod gate;
mod problem;
mod proxies;
mod reply;
mod request_id;
mod seldom;
mod sender;
mod sources;
mod turns;

pub mod accept;
pub mod callbacks;
pub mod delivery;
pub mod door;
pub mod fetch;
pub mod form;
pub mod inbox;
pub mod poll;
pub mod provider;
pub mod providers;
pub mod route;
pub mod schedule;
pub mod scrub;
pub mod serve;
pub mod trigger;
pub mod verified;
pub mod waiting;

pub use accept::{Receipt, accept, accept_all, accept_replay, draw_key_seed};
pub use delivery::{Answer, Arrived, Delivery, Handshake, ReceiptForm};
pub use door::Door;
pub use fetch::{Fetch, FetchError};
pub use provider::{
    CameTwice, Envelope, FieldError, Named, Provider, RawRequest, Rejection, Repeat, SignError,
    SignedRequest, Unsigned,
};
pub use proxies::TrustedProxies;
pub use route::{Route, RouteErrors};
pub use schedule::{Schedule, Tick};
pub use serve::{ServeLimits, Server, Tls, TlsError, listen, serve};
pub use sources::ClientLimit;
pub use trigger::{Intake, TriggerBoard, TriggerKind, TriggerState};
pub use verified::{Verified, VerifiedEvent};
