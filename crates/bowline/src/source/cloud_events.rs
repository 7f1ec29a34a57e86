//! CloudEvents.

use std::{fmt, sync::Arc};

use bowline_ingress::providers;

use crate::{
    Source, Workflow,
    auth::{self, MakeAuth},
};

/// CloudEvents 1.0, in every form that HTTP has for them: structured, batched, binary
/// (<https://cloudevents.io>). A workflow receives the event's `data`; types are the event's `type`.
///
/// They are not signed: say who may send. [`on`](Self::on) makes it a source.
///
/// ```
/// use bowline::prelude::*;
///
/// struct Files;
/// impl Files {
///     async fn created(self: Arc<Self>, cx: Context, file: serde_json::Value) -> Result { Ok(()) }
/// }
///
/// let app = App::new("files", |_| Files).webhook(
///     "/events",
///     CloudEvents::bearer_env("EVENTS_TOKEN")
///         .allow_sender("eventgrid.azure.net")
///         .on("com.example.file.created", workflow("file-created", Files::created)),
/// );
/// ```
pub struct CloudEvents {
    auth: Arc<MakeAuth>,
    senders: Vec<String>,
}

impl CloudEvents {
    /// Who sends the token of that variable as `Authorization: Bearer`. Several, separated by commas, are all accepted.
    pub fn bearer_env(variable: &str) -> Self {
        Self { auth: auth::bearer(variable), senders: vec![] }
    }

    /// Who sends the key of that variable in that header. Several, separated by commas, are all accepted.
    pub fn api_key_env(header: &str, variable: &str) -> Self {
        Self { auth: auth::api_key(header, variable), senders: vec![] }
    }

    /// Who sends user and password of those variables as `Authorization: Basic`.
    pub fn basic_env(user_variable: &str, password_variable: &str) -> Self {
        Self { auth: auth::basic(user_variable, password_variable), senders: vec![] }
    }

    /// Everybody: for senders within your own network. Whoever can reach the route can start runs.
    pub fn open() -> Self {
        Self { auth: auth::open(), senders: vec![] }
    }

    /// A sender that asks first whether it may send, as the webhook specification of CloudEvents has it, is told yes if
    /// its `WebHook-Request-Origin` is this. Call it once for each.
    pub fn allow_sender(mut self, origin: &str) -> Self {
        self.senders.push(origin.to_owned());
        self
    }

    /// Events of these types start that workflow; see [`Source::on`].
    pub fn on<S, I, O>(self, pattern: &str, workflow: Workflow<S, I, O>) -> Source<S> {
        let source = Source::new(move |variables| {
            let provider = providers::CloudEvents::new((self.auth)(variables)?);
            let provider =
                self.senders.iter().fold(provider, |provider, sender| provider.allow_sender(sender.as_str()));
            Some(Arc::new(provider))
        });
        source.on(pattern, workflow)
    }
}

impl fmt::Debug for CloudEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CloudEvents").field("senders", &self.senders).finish_non_exhaustive()
    }
}
