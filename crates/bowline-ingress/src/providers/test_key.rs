//! A key for tests of senders whose private keys nobody else has. Everybody knows it: who signs with it is nobody.

use bowline_signature::CertifiedKey;

/// The key, with its certificate found at that address.
pub(super) fn at(url: &str) -> CertifiedKey {
    let (key, certificate) = (include_str!("test_key/key.pem"), include_str!("test_key/certificate.pem"));
    CertifiedKey::new(url, key, certificate).expect("a key and its certificate, both checked by tests")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderMap;
    use bowline_model::Secret;
    use jiff::Timestamp;
    use serde_json::json;

    use crate::{
        Named, Provider, RawRequest, Unsigned,
        providers::{PayPal, Sns},
    };

    #[test]
    fn what_is_signed_with_it_is_taken_at_any_time_and_by_nobody_else() {
        let paypal = || PayPal::new(&Secret::new("TEST-WEBHOOK")).unwrap();
        let sns = || Sns::new(["arn:aws:sns:us-east-1:123456789012:orders"]).unwrap();
        type Pair = (Box<dyn Provider>, Box<dyn Provider>, &'static str);
        let pairs: [Pair; 3] = [
            (Box::new(paypal().with_test_key()), Box::new(paypal()), "PAYMENT.CAPTURE.COMPLETED"),
            (Box::new(paypal().sandbox().with_test_key()), Box::new(paypal()), "PAYMENT.CAPTURE.COMPLETED"),
            (Box::new(sns().with_test_key()), Box::new(sns()), "Notification.orders"),
        ];
        for (provider, other, kind) in pairs {
            let event = Named { id: "evt-1", kind };
            let body = provider.body(&event, &json!({"id": "7"})).to_string();
            for at in [Timestamp::UNIX_EPOCH, Timestamp::from_second(4_000_000_000).unwrap()] {
                let signed = provider.sign(&Unsigned::new(body.as_bytes()).named(&event), at).unwrap();
                let headers: HeaderMap = signed.headers.into_iter().collect();
                let request = RawRequest::post(&headers, &signed.body);
                assert_eq!(provider.authenticate(&request, at), Ok(()));
                assert!(other.authenticate(&request, at).is_err());
                assert_eq!(provider.delivery(&request).unwrap().only().unwrap().kind, kind);
            }
        }
    }
}
