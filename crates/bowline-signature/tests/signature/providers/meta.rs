//! Meta: pywa, the client of WhatsApp's API; and GitHub's library, which signs the same.

use bowline_signature::{Meta, Scheme, meta};

use crate::{
    gauntlet::{self, BODY, JSON, Runner},
    judges::{self, Judge},
    secret, skip,
};

fn make(secrets: &[&str]) -> Box<dyn Scheme> {
    let mut secrets = secrets.iter().map(secret);
    let first = Meta::new(secrets.next().unwrap());
    Box::new(secrets.fold(first, Meta::also_accept))
}

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make,
        secrets: ["one-secret", "two-secret", "three-secret"],
        content_type: JSON,
        body: BODY,
        signed_headers: &[meta::HEADER],
        past: None,
        future: None,
        signs_url: false,
    });
}

#[test]
fn pywa_and_ours_agree() {
    let test = "pywa_and_ours_agree";
    if let Err(missing) =
        judges::agree(&Judge::Python("pywa"), "meta", ["the secret", "another secret"], make)
    {
        skip!(test, missing);
    }
}

#[test]
fn github_s_library_and_ours_agree_on_meta() {
    let test = "github_s_library_and_ours_agree_on_meta";
    let judge = Judge::Node("@octokit/webhooks-methods");
    if let Err(missing) = judges::agree(&judge, "meta", ["the secret", "another secret"], make) {
        skip!(test, missing);
    }
}
