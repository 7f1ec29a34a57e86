//! Square's scheme: the vector of its library's tests, and `squareup`.

use bowline_signature::Square;

use crate::{
    gauntlet::{self, Runner},
    judges::Judge,
    sdk::{self, Sdk},
    secret, with_secrets,
};

const SDK: &Sdk = &Sdk {
    judge: Judge::Python("square.utils.webhooks_helper"),
    name: "square",
    make: |text| Box::new(Square::new(secret(text))),
    secrets: ["Ibxx_5AKakO-3qeNVR61Dw", "another signature key"],
    content_type: sdk::JSON_TYPE,
    bodies: sdk::JSON_BODIES,
    tampered_body: sdk::TAMPERED_JSON,
    past: None,
    future: None,
    signs_url: true,
};

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make: |secrets| Box::new(with_secrets(secrets, Square::new, Square::also_accept)),
        secrets: ["one", "two", "three"],
        content_type: gauntlet::JSON,
        body: gauntlet::BODY,
        signed_headers: &["x-square-hmacsha256-signature"],
        past: None,
        future: None,
        signs_url: true,
    });
}

#[test]
fn agrees_with_squares_own_library() {
    sdk::agree!("providers::square::agrees_with_squares_own_library", SDK);
}
