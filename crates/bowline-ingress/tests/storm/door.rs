//! The doors of the site, one of each kind, and how a genuine sender comes through each.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use bowline_ingress::{
    FieldError, Provider, Rejection, Route,
    providers::{Auth, GitHub, Hmac, Post, StandardWebhooks, Stripe, post::InvalidAuth},
};
use bowline_model::Secret;
use bowline_signature::SigningSecret;
use serde_json::{Value, json};

/// What no answer may hold.
pub(crate) const SECRETS: [&str; 3] =
    ["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "C2FVsBQIhrscChlQIMV", "the-old-secret-of-all-doors"];

/// One door.
pub(crate) struct Door {
    pub(crate) path: &'static str,
    pub(crate) provider: Arc<dyn Provider>,
    /// The same with a secret that the site does not know.
    pub(crate) impostor: Arc<dyn Provider>,
    /// The type of events that start a workflow.
    pub(crate) kind: &'static str,
    waits: bool,
}

type Make = fn(&str, &str) -> Arc<dyn Provider>;

pub(crate) static DOORS: LazyLock<Vec<Door>> = LazyLock::new(|| {
    vec![
        door("/stripe", "payment_intent.succeeded", stripe),
        door("/standard", "contact.created", standard),
        door("/github", "issues.opened", github),
        door("/hmac/headers", "orders/create", hmac_of_headers),
        Door { waits: true, ..door("/hmac/pointers", "orders/create", hmac_of_pointers) },
        door("/posts/open", "post", |_, _| post(Ok(Auth::Open))),
        Door {
            waits: true,
            ..door("/posts/key", "post", |secret, old| post(Auth::api_key("X-Api-Key", all(secret, old))))
        },
        door("/posts/bearer", "post", |secret, old| post(Auth::bearer(all(secret, old)))),
        door("/posts/basic", "post", |secret, old| post(Auth::basic("ada", all(secret, old)))),
        Door { waits: true, ..door("/posts/open/waiting", "post", |_, _| post(Ok(Auth::Open))) },
    ]
});

fn door(path: &'static str, kind: &'static str, make: Make) -> Door {
    let [secret, _, old] = SECRETS;
    let foreign = "whsec_D3GWtCRJistdDimRJNW+c6tTZtqpc8pE";
    Door { path, provider: make(secret, old), impostor: make(foreign, foreign), kind, waits: false }
}

impl Door {
    pub(crate) fn route(&self) -> Route {
        let route = Route::new(self.path, Arc::clone(&self.provider)).on(self.kind, "w".into());
        let route = route.body_bytes_max(64 * 1024).allow_origin("https://www.example.com");
        if self.waits { route.wait(Duration::from_secs(10)) } else { route }
    }

    /// What a workflow of this door receives.
    pub(crate) fn input(&self) -> Value {
        json!({
            "email": "ada@example.com",
            "name": "Ada",
            "note": "café \u{1f5a4} \"quoted\" \\ ",
            "amount": 2000,
            "rate": -1.5e-3,
            "tags": ["a", null, true, {"deep": [[]]}],
        })
    }
}

fn signing(secret: &str) -> SigningSecret {
    SigningSecret::new(secret).expect("sound")
}

fn all(secret: &str, old: &str) -> [Secret; 2] {
    [Secret::new(secret), Secret::new(old)]
}

fn stripe(secret: &str, old: &str) -> Arc<dyn Provider> {
    let stripe = Stripe::new(&Secret::new(secret)).expect("sound");
    Arc::new(stripe.also_accept(&Secret::new(old)).expect("sound"))
}

fn standard(secret: &str, _old: &str) -> Arc<dyn Provider> {
    Arc::new(StandardWebhooks::new(&Secret::new(secret)).expect("sound"))
}

fn github(secret: &str, old: &str) -> Arc<dyn Provider> {
    Arc::new(GitHub::new(&Secret::new(secret)).expect("sound").also_accept(&Secret::new(old)).expect("sound"))
}

fn hmac_of_headers(secret: &str, old: &str) -> Arc<dyn Provider> {
    let signature = bowline_signature::Hmac::sha512("X-Signature", signing(secret)).base64();
    let hmac = Hmac::new(signature.also_accept(signing(old)));
    Arc::new(hmac.kind_in_header("X-Topic").id_in_header("X-Event-Id"))
}

fn hmac_of_pointers(secret: &str, _old: &str) -> Arc<dyn Provider> {
    let signature = bowline_signature::Hmac::sha256("X-Signature", signing(secret)).prefix("v0=");
    let signature = signature.signed_prefix("v0:").timestamp("X-Time", ":").several_signatures();
    Arc::new(Hmac::new(signature).kind_at("/event/type").id_at("/event/id").input_at("/event/order"))
}

fn post(auth: Result<Auth, InvalidAuth>) -> Arc<dyn Provider> {
    Arc::new(Post::new(auth.expect("sound"), |body| {
        let body: Value = serde_json::from_slice(body).map_err(|_| Rejection::Invalid {
            errors: vec![FieldError { pointer: "#".into(), detail: "is nested too deeply".into() }],
        })?;
        match body["email"].as_str() {
            Some(email) => Ok(body["name"].is_null().then(|| email.to_owned())),
            None => {
                let detail = "is not an address".into();
                Err(Rejection::Invalid { errors: vec![FieldError { pointer: "#/email".into(), detail }] })
            }
        }
    }))
}
