//! The API client of Bowline: one attempt, one verdict; useful alone.
//!
//! What comes in: an [`Api`] (a remote system: where it is, what it wants as a credential, how it knows a repeated
//! request) and [`Call`]s made from it, plain values that send nothing. What goes out: one HTTP attempt at a time,
//! and a verdict on it: it happened, it did not and may later, it did not and never will, or nobody knows.
//!
//! What must never happen here: a secret in a log, an error, a fingerprint or `Debug`; credentials sent to another
//! origin than the Api's own; a retry that the engine did not ask for; an answer read without a limit.
//!
//! | Module | Story |
//! |---|---|
//! | [`api`] | a configured remote system |
//! | [`call`] | one described request, and its place in a run |
//! | [`response`] | an answer that can be recorded |
//! | [`page`] | listings that come in pages |
//! | [`bulk`] | exports that a remote makes while one waits |
//! | [`graphql`] | queries and mutations, whose errors fail the call |
//! | `soap` | SOAP 1.1 and 1.2, from a WSDL (feature `soap`) |
//! | [`stream`] | the items of an answer that is too large to hold |
//! | `settings` | what an Api is told, and what is wrong with it |
//! | `address` | base URL and path joined, so that no path leads to another host |
//! | `credential` | keys that are on every request |
//! | `guard` | URLs that come from data: the public web, and nothing behind it |
//! | `redirect` | where an answer leads, and what may go there |
//! | `certificate` | what a remote asks to see when it is connected to |
//! | `live` | secrets whose file may change |
//! | `sign` | signatures over requests that leave |
//! | `auth` | OAuth tokens: asked for, kept, renewed before they end |
//! | `vault` | where they live, and how people consent to them |
//! | `prepare` | what a described call becomes on the wire |
//! | `once` | one attempt, from what is kept or over HTTP |
//! | `attempt` | the one place that sends |
//! | `decode` | bodies as they were before gzip, brotli, zstd |
//! | `cache` | good answers to equal GETs, kept for a while |
//! | `verdict` | what was observed, judged purely |
//! | `report` | what is told of a failed call |
//! | `retry_after` | when the remote asked to be called again |
//! | `policy` | whether a request may go now: limits, budget, breaker |
//! | `flow` | an answer's body, chunk by chunk |
//! | `streamed` | the items of an answer, as a call's own stream |
//! | `streaming` | the same, described for a loop in a run |
//! | `upload`, `multipart` | bodies that are larger than memory, and forms with files |
//! | `download` | an answer into a file, resumed where it broke off |
//! | `recall` | calls as data, for undos |
//! | `send` | the retry schedule of a call that stands alone |
//!
//! # Alone
//!
//! ```no_run
//! use bowline_client::Api;
//!
//! # async fn create() -> Result<(), bowline_model::Error> {
//! let crm = Api::new("crm").base_url("https://crm.example.com").header_key_env("X-Api-Key", "CRM_API_KEY");
//! let contact: serde_json::Value =
//!     crm.post("/api/contacts").json(&serde_json::json!({"email": "jane@example.com"})).decode().send().await?;
//! # Ok(()) }
//! ```
//!
//! Inside a run, a step takes the call instead of `send`: `cx.step("create contact", crm.post(..).json(..))`.

pub mod api;
pub mod bulk;
pub mod call;
pub mod graphql;
pub mod idempotency;
pub mod page;
pub mod response;
#[cfg(feature = "soap")]
pub mod soap;
pub mod stream;

mod account;
mod address;
mod attempt;
mod auth;
mod body;
mod cache;
mod certificate;
mod credential;
mod decode;
mod download;
mod flow;
mod guard;
mod live;
mod multipart;
mod once;
mod policy;
mod prepare;
mod proof;
mod read;
mod recall;
mod redirect;
mod report;
mod retry_after;
mod scrub;
mod send;
mod settings;
mod sign;
mod streamed;
mod streaming;
mod transport;
mod upload;
mod vault;
mod verdict;

pub use address::segment;
pub use api::Api;
pub use auth::OAuth;
pub use bulk::{Bulk, Job, Progress};
pub use call::{Call, Decoded};
pub use download::Downloaded;
pub use graphql::{GraphQl, GraphQlError, Partial};
pub use idempotency::Idempotency;
pub use live::LiveSecret;
pub use multipart::Multipart;
pub use page::{Cursor, Page, Pages, Paging};
pub use policy::{Breaker, RetryBudget};
pub use recall::Apis;
pub use response::Response;
#[cfg(feature = "sigv4")]
pub use sign::SigV4;
pub use sign::{HmacSigning, Sign, Signable, SigningSetup, StandardWebhooksSigning};
pub use streamed::Streamed;
pub use streaming::Flowing;
pub use vault::{Begun, Callback, Connected, Connection, Consent, SealKeys, Standing, Vault};
