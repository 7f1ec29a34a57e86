//! Each sender's scheme: through the gauntlet, and against its official library or whatever comes closest.

mod adyen;
mod bitbucket;
mod calendly;
mod certificates;
mod discord;
mod existing;
mod gitlab;
mod graph;
mod hubspot;
mod intercom;
mod linear;
mod mailgun;
mod meta;
mod paddle;
mod paypal;
mod sendgrid;
mod shopify;
mod slack;
mod sns;
mod square;
mod standard_webhooks_1a;
mod twilio;
mod typeform;
mod xero;
mod zendesk;
mod zoom;
