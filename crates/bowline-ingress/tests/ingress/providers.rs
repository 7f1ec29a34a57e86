//! Each provider's requests, as it signs them, through a real door into a real store.

mod bitbucket;
mod calendly;
mod gitlab;
mod intercom;
mod linear;
mod meta;
mod typeform;
mod xero;
mod zendesk;
