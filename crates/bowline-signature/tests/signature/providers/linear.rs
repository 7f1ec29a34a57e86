//! Linear: its official SDK.

use bowline_signature::{Linear, Scheme, linear};

use crate::{
    gauntlet::{self, BODY, JSON, Runner},
    judges::{self, Judge},
    secret, skip,
};

fn make(secrets: &[&str]) -> Box<dyn Scheme> {
    let mut secrets = secrets.iter().map(secret);
    let first = Linear::new(secrets.next().unwrap());
    Box::new(secrets.fold(first, Linear::also_accept))
}

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make,
        secrets: ["one-secret", "two-secret", "three-secret"],
        content_type: JSON,
        body: BODY,
        signed_headers: &[linear::HEADER],
        past: Some(linear::TOLERANCE),
        future: Some(linear::TOLERANCE),
        signs_url: false,
    });
}

#[test]
fn linear_s_sdk_and_ours_agree() {
    let test = "linear_s_sdk_and_ours_agree";
    if let Err(missing) =
        judges::agree(&Judge::Node("@linear/sdk"), "linear", ["the secret", "another secret"], make)
    {
        skip!(test, missing);
    }
}
