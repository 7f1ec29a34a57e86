//! Bitbucket: the vector of its documentation, and GitHub's library, which signs the same under another header's name.

use bowline_signature::{Bitbucket, Request, Scheme, Unsigned, bitbucket};

use crate::{
    gauntlet::{self, BODY, JSON, Runner},
    judges::{self, Judge},
    secret, skip,
};

fn make(secrets: &[&str]) -> Box<dyn Scheme> {
    let mut secrets = secrets.iter().map(secret);
    let first = Bitbucket::new(secrets.next().unwrap());
    Box::new(secrets.fold(first, Bitbucket::also_accept))
}

#[test]
fn withstands_the_gauntlet() {
    gauntlet::run(&Runner {
        make,
        secrets: ["one-secret", "two-secret", "three-secret"],
        content_type: JSON,
        body: BODY,
        signed_headers: &[bitbucket::HEADER],
        past: None,
        future: None,
        signs_url: false,
    });
}

#[test]
fn github_s_library_and_ours_agree_on_bitbucket() {
    let test = "github_s_library_and_ours_agree_on_bitbucket";
    if let Err(missing) = judges::agree(
        &Judge::Node("@octokit/webhooks-methods"),
        "bitbucket",
        ["the secret", "another secret"],
        make,
    ) {
        skip!(test, missing);
    }
}

/// <https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/#Examples>
#[test]
fn accepts_and_signs_the_published_vector() {
    let scheme = Bitbucket::new(secret("It's a Secret to Everybody"));
    let signed = scheme.sign(&Unsigned::json("1", b"Hello World!"), crate::at(0)).unwrap();
    let expected = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9";
    assert_eq!(signed.headers[0].1, expected);
    let headers: http::HeaderMap = signed.headers.into_iter().collect();
    assert_eq!(scheme.verify(&Request::post(&headers, b"Hello World!"), crate::at(0)), Ok(()));
}
