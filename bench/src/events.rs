//! The events: built and signed before the clock starts.

use bowline_model::{Clock, SystemClock};
use bowline_signature::{SigningSecret, Stripe, stripe};

use crate::Result;

/// The secret that all contenders verify with.
pub(crate) const SECRET: &str = "whsec_bench";
/// The path that all contenders listen on.
pub(crate) const PATH: &str = "/webhooks/stripe";

/// An event as Stripe sends it, about 3 KB. `{n}` is the place of the event's number.
const TEMPLATE: &str = include_str!("payment_intent_succeeded.json");

/// Digits of an event's number.
pub(crate) const NUMBER_DIGITS: usize = 8;
/// What stands before the number in the payer's address, in the event and in the contact made of it.
pub(crate) const PAYER: &str = "payer-";

/// Whole HTTP requests, one per event, ready to be sent.
pub(crate) struct Requests {
    pub(crate) warm_up: Vec<Vec<u8>>,
    pub(crate) measured: Vec<Vec<u8>>,
}

impl Requests {
    /// Signs them now; they are good for the 300 seconds that Stripe allows.
    pub(crate) fn sign(warm_up: usize, measured: usize) -> Result<Self> {
        Ok(Self { warm_up: Self::sign_from(0, warm_up)?, measured: Self::sign_from(warm_up, measured)? })
    }

    /// So many, numbered from `first` on.
    pub(crate) fn sign_from(first: usize, count: usize) -> Result<Vec<Vec<u8>>> {
        let stripe = Stripe::new(SigningSecret::new(SECRET)?);
        Ok((first..first + count).map(|number| request(&stripe, number)).collect())
    }
}

fn request(stripe: &Stripe, number: usize) -> Vec<u8> {
    let body = body(number);
    let signature = stripe.sign(body.as_bytes(), SystemClock.now());
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: Stripe/1.0 (+https://stripe.com/docs/webhooks)\r\n\
         accept: */*; q=0.5, application/xml\r\ncontent-type: application/json; charset=utf-8\r\n\
         {}: {signature}\r\ncontent-length: {}\r\n\r\n",
        stripe::HEADER,
        body.len(),
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

fn body(number: usize) -> String {
    TEMPLATE.replace("{n}", &format!("{number:0NUMBER_DIGITS$}"))
}

/// Bytes of one event's body.
pub(crate) fn body_bytes() -> usize {
    body(0).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_json_with_the_number_where_the_crm_looks_for_it() {
        let event: serde_json::Value = serde_json::from_str(&body(42)).unwrap();
        assert_eq!(event["data"]["object"]["receipt_email"], "payer-00000042@example.com");
        assert_ne!(body(42), body(43));
    }
}
