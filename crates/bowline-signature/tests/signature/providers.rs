//! Each sender's scheme: through the gauntlet, and against its official library or whatever comes closest.

mod bitbucket;
mod calendly;
mod gitlab;
mod intercom;
mod linear;
mod meta;
mod typeform;
mod xero;
mod zendesk;
