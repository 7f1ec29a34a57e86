//! The doors of the site, one of each kind, and how a genuine sender comes through each.

use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};

use bowline_ingress::{
    FieldError, Provider, Rejection, Route,
    providers::{Auth, GitHub, Hmac, Post, StandardWebhooks, Stripe},
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

pub(crate) static DOORS: LazyLock<Vec<Door>> = LazyLock::new(|| {
    let [secret, _, old] = SECRETS;
    let foreign = "whsec_D3GWtCRJistdDimRJNW+c6tTZtqpc8pE";
    let pairs: [(&str, &str, bool, fn(&str, &str) -> Arc<dyn Provider>); 10] = [
        ("/stripe", "payment_intent.succeeded", false, stripe),
        ("/standard", "contact.created", false, standard),
        ("/github", "issues.opened", false, github),
        ("/hmac/headers", "orders/create", false, hmac_of_headers),
        ("/hmac/pointers", "orders/create", true, hmac_of_pointers),
        ("/posts/open", "post", false, |_, _| post(Auth::Open)),
        ("/posts/key", "post", true, |secret, old| {
            post(Auth::api_key("X-Api-Key", all(secret, old)).unwrap())
        }),
        ("/posts/bearer", "post", false, |secret, old| post(Auth::bearer(all(secret, old)).unwrap())),
        ("/posts/basic", "post", false, |secret, old| post(Auth::basic("ada", all(secret, old)).unwrap())),
        ("/posts/open/waiting", "post", true, |_, _| post(Auth::Open)),
    ];
    let door = |(path, kind, waits, make): (_, _, _, fn(&str, &str) -> Arc<dyn Provider>)| Door {
        path,
        provider: make(secret, old),
        impostor: make(foreign, foreign),
        kind,
        waits,
    };
    pairs.into_iter().map(door).collect()
});

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
    SigningSecret::new(secret).unwrap()
}

fn all(secret: &str, old: &str) -> [Secret; 2] {
    [Secret::new(secret), Secret::new(old)]
}

fn stripe(secret: &str, old: &str) -> Arc<dyn Provider> {
    let stripe = Stripe::new(&Secret::new(secret)).unwrap();
    Arc::new(stripe.also_accept(&Secret::new(old)).unwrap())
}

fn standard(secret: &str, _old: &str) -> Arc<dyn Provider> {
    Arc::new(StandardWebhooks::new(&Secret::new(secret)).unwrap())
}

fn github(secret: &str, old: &str) -> Arc<dyn Provider> {
    Arc::new(GitHub::new(&Secret::new(secret)).unwrap().also_accept(&Secret::new(old)).unwrap())
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

fn post(auth: Auth) -> Arc<dyn Provider> {
    Arc::new(Post::new(auth, |body| {
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
