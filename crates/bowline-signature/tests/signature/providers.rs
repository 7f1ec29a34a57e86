//! Each sender's scheme: through the gauntlet, and against its official library or whatever comes closest.

mod bitbucket;
mod calendly;
mod gitlab;
mod hubspot;
mod intercom;
mod linear;
mod meta;
mod paddle;
mod shopify;
mod slack;
mod square;
mod twilio;
mod typeform;
mod xero;
mod zendesk;
mod zoom;
