//! Webhooks that are sent: Standard Webhooks, version 1.

use base64::{Engine, prelude::BASE64_STANDARD};
use bowline_model::Secret;
use bowline_signature::{SigningSecret, StandardWebhooks, standard_webhooks::HEADERS};
use jiff::Timestamp;

use super::{Sign, Signable, SigningSetup, Wanted};

/// Signs as a sender of Standard Webhooks: `webhook-id` is the call's idempotency key, so that every attempt is the same
/// event to the receiver; `webhook-timestamp` is the time of the attempt; `webhook-signature` has one `v1` signature
/// for each secret.
///
/// Secrets are base64, with or without `whsec_` before it, and of at least 16 bytes. A call that is repeated has the
/// same id on each attempt, whatever its method; a receiver that remembers ids acts once.
///
/// # Sending webhooks
/// ```
/// use bowline_client::{Api, StandardWebhooksSigning};
///
/// let customer = Api::new("customer hook")
///     .secret_url_env("CUSTOMER_HOOK_URL")
///     .sign(StandardWebhooksSigning::secret_env("CUSTOMER_HOOK_SECRET"));
/// ```
///
/// Source: <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.
#[derive(Debug, Clone)]
pub struct StandardWebhooksSigning {
    secrets: Vec<Wanted>,
}

impl StandardWebhooksSigning {
    /// With the secret in that variable, or in the file that its `NAME_FILE` names.
    pub fn secret_env(variable: &str) -> Self {
        Self { secrets: vec![Wanted::Variable(variable.to_owned())] }
    }

    /// With that secret.
    ///
    /// # A secret at hand
    /// ```
    /// use bowline_client::StandardWebhooksSigning;
    /// use bowline_model::Secret;
    ///
    /// let signing = StandardWebhooksSigning::secret(Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
    /// ```
    pub fn secret(secret: Secret) -> Self {
        Self { secrets: vec![Wanted::Fixed(secret)] }
    }

    /// Also signs with the secret in that variable: for the time in which receivers change from one to the other.
    ///
    /// # From one secret to the next
    /// ```
    /// use bowline_client::StandardWebhooksSigning;
    ///
    /// let signing = StandardWebhooksSigning::secret_env("OUT_SECRET").also_secret_env("OUT_SECRET_OLD");
    /// ```
    pub fn also_secret_env(mut self, variable: &str) -> Self {
        self.secrets.push(Wanted::Variable(variable.to_owned()));
        self
    }

    /// Also signs with that secret, as [`also_secret_env`](Self::also_secret_env).
    ///
    /// # The same, at hand
    /// ```
    /// use bowline_client::StandardWebhooksSigning;
    /// use bowline_model::Secret;
    ///
    /// let old = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    /// let signing = StandardWebhooksSigning::secret_env("OUT_SECRET").also_secret(old);
    /// ```
    pub fn also_secret(mut self, secret: Secret) -> Self {
        self.secrets.push(Wanted::Fixed(secret));
        self
    }
}

impl Sign for StandardWebhooksSigning {
    fn set_up(&mut self, setup: &mut SigningSetup<'_>) {
        let stand_in =
            |variable: &str| BASE64_STANDARD.encode(format!("{:-<24}", format!("test-{variable}")));
        for wanted in &mut self.secrets {
            if let Some(secret) = wanted.find(setup, "signing secret", stand_in)
                && let Err(what) = read(&secret.current())
            {
                setup.problem(Some(&secret), format!("cannot sign: {what}"));
            }
        }
    }

    fn sign(&self, request: &mut Signable<'_>, now: Timestamp) -> Result<(), String> {
        let body =
            request.body.ok_or("its body is a stream, which is not known before it is sent: send bytes")?;
        let mut signatures = vec![];
        let mut head = None;
        for secret in &self.secrets {
            let [id, timestamp, (_, signature)] =
                read(&secret.current()?)?.sign(request.key, body, now).map_err(|error| error.to_string())?;
            signatures.push(signature);
            head = Some([id, timestamp]);
        }
        for (name, value) in head.into_iter().flatten() {
            request.set_header(name, &value)?;
        }
        request.set_header(HEADERS[2], &signatures.join(" "))
    }
}

fn read(secret: &Secret) -> Result<StandardWebhooks, String> {
    let secret = SigningSecret::new(secret.expose()).map_err(|error| error.to_string())?;
    StandardWebhooks::new(&secret).map_err(|error| error.to_string())
}
