//! Adyen and PayPal.

use std::sync::Arc;

use bowline_ingress::{Provider, providers};

use super::{Source, secrets, signed_as};

/// Adyen's webhooks. Of a standard webhook a workflow receives each item's `NotificationRequestItem`, and the types are
/// `AUTHORISATION`, `CAPTURE`; of a platform's, the whole body, and the types are such as
/// `balancePlatform.accountHolder.created`.
#[derive(Debug)]
pub struct Adyen;

impl Adyen {
    /// Signed with the HMAC key (hex digits) of the webhook in that variable; several, separated by commas, are all
    /// accepted.
    pub fn hmac_key_env<S>(variable: &str) -> Source<S> {
        let stand_in = || "00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF".to_owned();
        let purpose = "the HMAC key (hex digits) of the Adyen webhook";
        signed_as(variable, purpose, stand_in, |first, more| {
            let adyen = providers::Adyen::new(first)?;
            more.iter().try_fold(adyen, |adyen, key| adyen.also_accept(key))
        })
    }
}

/// PayPal's webhooks. A workflow receives the `resource`; the types are such as `PAYMENT.CAPTURE.COMPLETED`.
///
/// PayPal's certificate is fetched from `api.paypal.com` (or `api.sandbox.paypal.com`), once a day.
#[derive(Debug)]
pub struct PayPal;

impl PayPal {
    /// Sent for the webhook whose id, from the developer dashboard, is in that variable; several, separated by commas, are
    /// all accepted.
    pub fn webhook_id_env<S>(variable: &str) -> Source<S> {
        of_webhooks(variable, |paypal| paypal)
    }

    /// As [`webhook_id_env`](Self::webhook_id_env), of PayPal's sandbox and not of the live system.
    pub fn sandbox_webhook_id_env<S>(variable: &str) -> Source<S> {
        of_webhooks(variable, providers::PayPal::sandbox)
    }
}

fn of_webhooks<S>(variable: &str, system: fn(providers::PayPal) -> providers::PayPal) -> Source<S> {
    let variable = variable.to_owned();
    Source::new(move |variables| {
        let purpose = "the id of the PayPal webhook, from the developer dashboard";
        let ids = secrets(variables, &variable, purpose, || "TEST-WEBHOOK".to_owned())?;
        let (first, more) = ids.split_first().expect("there is at least one");
        let made = providers::PayPal::new(first)
            .and_then(|paypal| more.iter().try_fold(paypal, |paypal, id| paypal.also_accept(id)));
        match made.map(system) {
            Ok(paypal) => {
                let paypal = if variables.is_testing() { paypal.with_test_key() } else { paypal };
                Some(Arc::new(paypal) as Arc<dyn Provider>)
            }
            Err(problem) => {
                variables.problem(&variable, problem.to_string());
                None
            }
        }
    })
}
