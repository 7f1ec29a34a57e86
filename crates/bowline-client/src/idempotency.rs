//! How a remote recognises a request it has already seen.

/// Where the idempotency key goes.
///
/// The key is the same on every attempt of a step, before and after a crash. It is put on `POST` and `PATCH`; the
/// other methods can be repeated as they are (RFC 9110 §9.2.2).
///
/// # A remote with a header of its own
/// ```
/// use bowline_client::{Api, Idempotency};
///
/// let square = Api::new("square").idempotency(Idempotency::BodyField("idempotency_key".into()));
/// let legacy = Api::new("legacy").idempotency(Idempotency::None);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// In a header. The default, as `Idempotency-Key`.
    Header(String),
    /// In a top-level field of the body: a JSON object or a form.
    BodyField(String),
    /// Nowhere: the remote does not know keys. A lost answer is then followed by a request that looks new to it;
    /// steps have `.recheck` and `.at_most_once` for that.
    None,
}

impl Idempotency {
    /// In the header with that name.
    ///
    /// # PayPal's
    /// ```
    /// let idempotency = bowline_client::Idempotency::header("PayPal-Request-Id");
    /// ```
    pub fn header(name: impl Into<String>) -> Self {
        Self::Header(name.into())
    }

    /// In the top-level field of the body with that name.
    ///
    /// # Square's
    /// ```
    /// let idempotency = bowline_client::Idempotency::body_field("idempotency_key");
    /// ```
    pub fn body_field(name: impl Into<String>) -> Self {
        Self::BodyField(name.into())
    }

    /// Whether the key goes in that header. An author's own one is a number of theirs, and no secret: answers name it.
    pub(crate) fn is_header(&self, name: &str) -> bool {
        match self {
            Self::Header(own) => own.eq_ignore_ascii_case(name),
            Self::BodyField(_) | Self::None => false,
        }
    }
}

impl Default for Idempotency {
    fn default() -> Self {
        Self::header("Idempotency-Key")
    }
}
