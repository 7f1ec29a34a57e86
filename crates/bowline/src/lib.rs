//! Durable API automations in plain async Rust.
//!
//! An app is a struct that holds its systems; its workflows are plain async methods; a verified webhook starts a run.
//! See [`App`] for a whole program, [`Context`] for what a workflow holds, [`Api`] for calls, [`client`] for all that
//! the client can do.
//!
//! | Feature | Adds |
//! |---|---|
//! | `xml` | streams of XML elements |
//! | `soap` | SOAP 1.1 and 1.2, from a WSDL; with `xml` |
//! | `sigv4` | requests signed as AWS wants it |
//! | `onnx` | models in ONNX files as steps, through ONNX Runtime |

mod alerts;
mod app;
mod auth;
mod build_id;
mod cancel;
mod certificates;
pub mod cli;
pub mod config;
mod flow;
mod guard;
mod hmac;
mod housekeeping;
mod inbox;
mod input;
mod logs;
mod node;
mod open;
mod poll;
mod post;
mod routes;
mod run;
mod schedule;
mod server;
mod setup;
mod source;
mod start;
mod starting;
mod tell;
pub mod time;
mod triggers;
mod workflow;

pub use app::App;
/// The client, whole.
pub use bowline_client as client;
pub use bowline_client::{Api, Call, Cursor, GraphQl, OAuth, Page, Pages, Paging, Response, segment};
pub use bowline_dashboard::{
    Admin,
    commands::{Told, ToldStatus},
};
pub use bowline_engine::loops::{DeadItems, FailedItem, ForEach, Summary, stream, stream_from};
pub use bowline_engine::{
    Approval, Branches, Callback, Child, Context, Raced, Racing, Signal, Startable, State, Step, Transaction,
    Tx, Versioned, WaitUntil,
};
pub use bowline_exec::{Cpu, Exec, ExitMeans, Lane, Printed, cpu};
pub use bowline_ingress::{
    Schedule, Tick, TriggerKind, TriggerState,
    inbox::InboxFile,
    poll::{Every, Found, Poll},
    schedule::{CatchUp, Overlap},
};
pub use bowline_model::{
    Attempt, Certainty, Error, Event, Failure, OnDead, Result, RetryPolicy, RunId, RunState, Secret,
    approval::{Decision, Field, Question},
};
/// Models in ONNX files as steps.
#[cfg(feature = "onnx")]
pub use bowline_onnx as onnx;
pub use bowline_store::{FromSqlValue, SqlParams, SqlRow, SqlValue};
pub use hmac::Hmac;
pub use inbox::Inbox;
pub use input::Validated;
pub use open::{OpenApp, OpenError, OpenOptions};
pub use post::{Post, PostRoute};
pub use run::{RunError, RunHandle};
pub use setup::Setup;
pub use source::{
    Adyen, Bitbucket, Calendly, CloudEvents, Discord, DiscordInteractions, GitHub, GitLab, Graph, HubSpot,
    Intercom, Linear, Mailgun, Meta, Paddle, PayPal, SendGrid, Shopify, Slack, Sns, Source, Square,
    StandardWebhooks, Stripe, Twilio, Typeform, Xero, Zendesk, Zoom,
};
pub use starting::{START_DEDUPE_FOR, Start, StartError};
pub use tell::TellError;
pub use workflow::{Workflow, workflow};

/// What an automation's file begins with: `use bowline::prelude::*;`.
pub mod prelude {
    pub use std::{process::ExitCode, sync::Arc};

    pub use serde::{Deserialize, Serialize};

    pub use crate::{
        Adyen, Api, App, Attempt, Bitbucket, Calendly, Call, CatchUp, CloudEvents, Context, Cursor,
        DeadItems, Decision, Discord, DiscordInteractions, Error, Every, Exec, ExitMeans, Field, Found,
        GitHub, GitLab, Graph, Hmac, HubSpot, Inbox, InboxFile, Intercom, Lane, Linear, Mailgun, Meta, OAuth,
        OnDead, Overlap, Paddle, Page, Paging, PayPal, Poll, Post, Question, Response, Result, RetryPolicy,
        Schedule, Secret, SendGrid, Setup, Shopify, Slack, Sns, Square, StandardWebhooks, Stripe, Tick,
        Twilio, Tx, Typeform, Xero, Zendesk, Zoom, cpu,
        time::{days, hours, minutes, secs},
        workflow,
    };
}
