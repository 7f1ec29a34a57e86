//! GitLab: the official library of Standard Webhooks for signing tokens; tampering and rotation for secret tokens.

use bowline_signature::{Error, GitLab, Request, Scheme, Unsigned, gitlab, standard_webhooks::InvalidSecret};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    at,
    gauntlet::{self, BODY, JSON, Runner},
    judges::{self, Judge},
    secret, skip,
};

const ONE: &str = "whsec_b25lIHNpZ25pbmcgdG9rZW4sIDMyIGJ5dGVzIGxvbmc=";
const TWO: &str = "whsec_dHdvIHNpZ25pbmcgdG9rZW5zLCAzMiBieXRlcyBsb24=";
const THREE: &str = "whsec_dGhyZWUgc2lnbmluZyB0b2tlbnMsIDMyIGJ5dGVzIQ==";

fn signing(tokens: &[&str]) -> Box<dyn Scheme> {
    let mut tokens = tokens.iter().map(secret);
    let first = GitLab::signing_token(&tokens.next().unwrap()).unwrap();
    Box::new(tokens.fold(first, |gitlab, token| gitlab.also_accept(&token).unwrap()))
}

#[test]
fn signing_tokens_withstand_the_gauntlet() {
    gauntlet::run(&Runner {
        make: signing,
        secrets: [ONE, TWO, THREE],
        content_type: JSON,
        body: BODY,
        signed_headers: &gitlab::HEADERS,
        past: Some(gitlab::TOLERANCE),
        future: Some(gitlab::TOLERANCE),
        signs_url: false,
    });
}

#[test]
fn the_library_of_standard_webhooks_and_ours_agree_on_gitlab() {
    let test = "the_library_of_standard_webhooks_and_ours_agree_on_gitlab";
    let judge = Judge::Python("standardwebhooks");
    if let Err(missing) = judges::agree(&judge, "gitlab", [ONE, TWO], signing) {
        skip!(test, missing);
    }
}

fn shown(values: &[&str]) -> HeaderMap {
    let name = HeaderName::from_static(gitlab::TOKEN_HEADER);
    values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn the_secret_token_is_accepted_and_nothing_else() {
    let gitlab = GitLab::secret_token(secret("glhook-secret"));
    let judge = |headers: &HeaderMap| gitlab.verify(&Request::post(headers, BODY), at(0));
    assert_eq!(judge(&shown(&["glhook-secret"])), Ok(()));
    for other in ["glhook-secreT", "glhook-secret2", "glhook-secre", "", "Bearer glhook-secret"] {
        assert!(matches!(judge(&shown(&[other])), Err(Error::WrongKey { accepted: 1, .. })), "{other}");
    }
    assert!(matches!(judge(&HeaderMap::new()), Err(Error::HeaderMissing { .. })));
    assert!(matches!(judge(&shown(&["glhook-secret"; 2])), Err(Error::HeaderTwice { .. })));
    assert!(matches!(judge(&shown(&[&"a".repeat(1 << 20)])), Err(Error::HeaderTooLong { .. })));
    assert!(!format!("{gitlab:?}").contains("glhook"));
}

#[test]
fn old_and_new_secret_token_are_accepted_while_one_replaces_the_other() {
    let rotating = GitLab::secret_token(secret("new")).also_accept(&secret("old")).unwrap();
    for token in ["new", "old"] {
        assert_eq!(rotating.verify(&Request::post(&shown(&[token]), BODY), at(0)), Ok(()));
    }
    let signed = rotating.sign(&Unsigned::json("1", BODY), at(0)).unwrap();
    assert_eq!(
        signed.headers,
        [(HeaderName::from_static("x-gitlab-token"), HeaderValue::from_static("new"))]
    );
    let neither = rotating.verify(&Request::post(&shown(&["newer"]), BODY), at(0));
    assert!(matches!(neither, Err(Error::WrongKey { accepted: 2, .. })), "{neither:?}");
}

#[test]
fn whoever_wants_signatures_takes_no_secret_token_instead() {
    let gitlab = signing(&[ONE]);
    let refused = gitlab.verify(&Request::post(&shown(&[ONE]), BODY), at(0)).unwrap_err();
    assert!(refused.to_string().contains("only if the webhook has a signing token"), "{refused}");
    // And neither are the names of Svix taken for those of GitLab.
    let signed = gitlab.sign(&Unsigned::json("1", BODY), at(0)).unwrap();
    let svix: HeaderMap = signed
        .headers
        .into_iter()
        .map(|(name, value)| (name.as_str().replace("webhook", "svix").parse().unwrap(), value))
        .collect();
    assert!(matches!(gitlab.verify(&Request::post(&svix, BODY), at(0)), Err(Error::HeaderMissing { .. })));
}

#[test]
fn a_secret_token_is_no_signing_token() {
    assert_eq!(GitLab::signing_token(&secret("glhook-secret!")).unwrap_err(), InvalidSecret::NotBase64);
}
