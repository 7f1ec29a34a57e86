//! Each provider's requests, as it signs them, through a real door into a real store.

mod adyen;
mod bitbucket;
mod calendly;
mod certificates;
mod discord;
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
mod twilio;
mod typeform;
mod xero;
mod zendesk;
mod zoom;
