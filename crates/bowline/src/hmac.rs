//! Webhooks of whoever signs with an HMAC in a way of their own.

use std::{fmt, time::Duration};

use bowline_ingress::providers;
use bowline_signature::{EmptySecret, SigningSecret};

use crate::{Source, source::signed_as};

type Scheme = bowline_signature::Hmac;
type ChangeScheme = Box<dyn Fn(Scheme) -> Scheme + Send + Sync>;
type ChangeDoor = Box<dyn Fn(providers::Hmac) -> providers::Hmac + Send + Sync>;

/// Webhooks that are signed with an HMAC of the body, for senders that have no type of their own here: say where the
/// signature is and what is signed, then [`secret_env`](Self::secret_env) makes it a source.
///
/// | Option | Default |
/// |---|---|
/// | [`prefix`](Self::prefix) | the signature stands alone in its header |
/// | [`base64`](Self::base64) | hex |
/// | [`timestamp`](Self::timestamp), [`milliseconds`](Self::milliseconds), [`tolerance`](Self::tolerance) | the body alone is signed: what was recorded once can be sent again for ever, so deduplicate |
/// | [`id_at`](Self::id_at), [`id_in_header`](Self::id_in_header) | no id: every request is new |
/// | [`kind_at`](Self::kind_at), [`kind_in_header`](Self::kind_in_header) | all events are of one type: subscribe with `*` |
/// | [`input_at`](Self::input_at) | a workflow receives the whole body |
///
/// ```
/// use bowline::prelude::*;
///
/// struct Shop;
/// impl Shop {
///     async fn paid(self: Arc<Self>, cx: Context, order: serde_json::Value) -> Result { Ok(()) }
/// }
///
/// let app = App::new("shop", |_| Shop).webhook(
///     "/webhooks/tills",
///     Hmac::sha256("X-Till-Signature")
///         .prefix("sha256=")
///         .timestamp("X-Till-Time", ".")
///         .id_at("/id")
///         .kind_at("/event")
///         .secret_env("TILL_SECRET")
///         .on("order.paid", workflow("paid", Shop::paid)),
/// );
/// ```
pub struct Hmac {
    header: String,
    begin: fn(&str, SigningSecret) -> Scheme,
    scheme: Vec<ChangeScheme>,
    door: Vec<ChangeDoor>,
}

impl Hmac {
    fn new(header: &str, begin: fn(&str, SigningSecret) -> Scheme) -> Self {
        Self { header: header.to_owned(), begin, scheme: vec![], door: vec![] }
    }

    /// HMAC-SHA256 in that header.
    pub fn sha256(header: &str) -> Self {
        Self::new(header, Scheme::sha256)
    }

    /// HMAC-SHA512 in that header.
    pub fn sha512(header: &str) -> Self {
        Self::new(header, Scheme::sha512)
    }

    /// HMAC-SHA1 in that header: for senders that have nothing better.
    pub fn sha1(header: &str) -> Self {
        Self::new(header, Scheme::sha1)
    }

    /// What stands before the signature in its header, e.g. `sha256=`.
    pub fn prefix(self, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        self.with_scheme(move |scheme| scheme.prefix(prefix.as_str()))
    }

    /// The signature is in base64 and not in hex.
    pub fn base64(self) -> Self {
        self.with_scheme(Scheme::base64)
    }

    /// Signed is that header's value (seconds since 1970), then `separator`, then the body.
    pub fn timestamp(self, header: &str, separator: &str) -> Self {
        let (header, separator) = (header.to_owned(), separator.to_owned());
        self.with_scheme(move |scheme| scheme.timestamp(&header, separator.as_str()))
    }

    /// The timestamp counts milliseconds.
    pub fn milliseconds(self) -> Self {
        self.with_scheme(Scheme::milliseconds)
    }

    /// How far from now the timestamp may be, to the past and to the future; 5 minutes unless set.
    pub fn tolerance(self, tolerance: Duration) -> Self {
        self.with_scheme(move |scheme| scheme.tolerance(tolerance))
    }

    /// A fixed text before all that is signed, e.g. `v0:`.
    pub fn signed_prefix(self, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        self.with_scheme(move |scheme| scheme.signed_prefix(prefix.as_str()))
    }

    /// The header may hold several signatures, separated by commas or spaces: one that fits is enough.
    pub fn several_signatures(self) -> Self {
        self.with_scheme(Scheme::several_signatures)
    }

    /// The event's id is in the body, at that JSON pointer (RFC 6901): what comes twice under one id is one event.
    pub fn id_at(self, pointer: &str) -> Self {
        let pointer = pointer.to_owned();
        self.with_door(move |door| door.id_at(pointer.as_str()))
    }

    /// The event's id is in that header.
    pub fn id_in_header(self, name: &str) -> Self {
        let name = name.to_owned();
        self.with_door(move |door| door.id_in_header(&name))
    }

    /// The event's type is in the body, at that JSON pointer.
    pub fn kind_at(self, pointer: &str) -> Self {
        let pointer = pointer.to_owned();
        self.with_door(move |door| door.kind_at(pointer.as_str()))
    }

    /// The event's type is in that header.
    pub fn kind_in_header(self, name: &str) -> Self {
        let name = name.to_owned();
        self.with_door(move |door| door.kind_in_header(&name))
    }

    /// A workflow receives what the body has at that JSON pointer.
    pub fn input_at(self, pointer: &str) -> Self {
        let pointer = pointer.to_owned();
        self.with_door(move |door| door.input_at(pointer.as_str()))
    }

    /// For how long a redelivery is recognised; 30 days unless set. Longer than the sender retries.
    pub fn dedupe_for(self, time: Duration) -> Self {
        self.with_door(move |door| door.dedupe_for(time))
    }

    /// Signed with the secret in that variable; several, separated by commas, are all accepted.
    pub fn secret_env<S>(self, variable: &str) -> Source<S> {
        let stand_in = format!("test-{variable}");
        let purpose = "the secret that signs the webhook";
        signed_as(
            variable,
            purpose,
            move || stand_in.clone(),
            move |first, more| {
                let scheme = (self.begin)(&self.header, SigningSecret::new(first.expose())?);
                let scheme = more.iter().try_fold(scheme, |scheme, secret| {
                    Ok::<_, EmptySecret>(scheme.also_accept(SigningSecret::new(secret.expose())?))
                })?;
                let scheme = self.scheme.iter().fold(scheme, |scheme, change| change(scheme));
                let door = providers::Hmac::new(scheme);
                Ok::<_, EmptySecret>(self.door.iter().fold(door, |door, change| change(door)))
            },
        )
    }

    fn with_scheme(mut self, change: impl Fn(Scheme) -> Scheme + Send + Sync + 'static) -> Self {
        self.scheme.push(Box::new(change));
        self
    }

    fn with_door(
        mut self,
        change: impl Fn(providers::Hmac) -> providers::Hmac + Send + Sync + 'static,
    ) -> Self {
        self.door.push(Box::new(change));
        self
    }
}

impl fmt::Debug for Hmac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hmac").field("header", &self.header).finish_non_exhaustive()
    }
}
