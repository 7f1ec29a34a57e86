//! Tokens: asked for, kept, renewed.

use std::time::Duration;

use bowline_model::{Failure, Secret};

use crate::settings::Settings;

/// A token that proves who calls.
#[derive(Clone)]
pub(crate) struct AccessToken {
    pub(crate) secret: Secret,
    /// Raised whenever it is renewed.
    pub(crate) version: i64,
}

/// Why there is no token now.
pub(crate) enum NoToken {
    /// It is on its way.
    Wait { wait: Duration, why: String },
    /// It could not be had, and may be later.
    Later(Failure),
    /// It cannot be had.
    Never(Failure),
}

/// The tokens of one Api.
#[derive(Debug, Clone)]
pub(crate) enum Tokens {}

impl Tokens {
    /// The token for calls of that account, renewed if need be.
    pub(crate) async fn current(&self, _: &Settings, _account: &str) -> Result<AccessToken, NoToken> {
        match *self {}
    }

    /// A newer one than that, which the remote refused.
    pub(crate) async fn renewed(
        &self,
        _: &Settings,
        _account: &str,
        _refused: &AccessToken,
    ) -> Result<AccessToken, NoToken> {
        match *self {}
    }
}
