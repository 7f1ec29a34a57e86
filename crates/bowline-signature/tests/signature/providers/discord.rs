//! Discord.

use std::time::Duration;

use bowline_signature::{Discord, Error, Request, Scheme, Unsigned};
use http::{HeaderMap, HeaderValue};

use crate::{
    at,
    gauntlet::{BODY, JSON, Runner, run},
    judges::{self, Judge},
    skip,
};

/// Pairs of RFC 8032 § 7.1: tests 1, 2, 3.
pub(super) const PAIRS: [&str; 3] = [
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
];

fn make(keys: &[&str]) -> Discord {
    let first = Discord::new(keys[0]).unwrap();
    keys[1..].iter().fold(first, |discord, key| discord.also_accept(key).unwrap())
}

fn runner() -> Runner {
    Runner {
        make: |keys| Box::new(make(keys)),
        secrets: PAIRS,
        content_type: JSON,
        body: BODY,
        signed_headers: &["x-signature-ed25519", "x-signature-timestamp"],
        past: None,
        future: None,
        signs_url: false,
    }
}

#[test]
fn withstands_all() {
    run(&runner());
}

#[test]
fn withstands_all_with_a_tolerance() {
    let tolerance = Some(Duration::from_secs(600));
    let make: fn(&[&str]) -> Box<dyn Scheme> =
        |keys| Box::new(make(keys).tolerance(Duration::from_secs(600)));
    run(&Runner { make, past: tolerance, future: tolerance, ..runner() });
}

#[test]
fn verifies_with_the_public_key_alone() {
    let signed = make(&PAIRS[..1]).sign(&Unsigned::json("", BODY), at(1_700_000_000)).unwrap();
    let headers: HeaderMap = signed.headers.into_iter().collect();
    let public = Discord::new(&PAIRS[0][64..]).unwrap();
    assert_eq!(public.verify(&Request::post(&headers, BODY), at(1_700_000_000)), Ok(()));
    let refused = public.sign(&Unsigned::json("", BODY), at(0)).unwrap_err().to_string();
    assert!(refused.contains("a key that only it has"), "{refused}");
}

/// Nothing stands between the two: what is a digit less there would be a digit more here.
#[test]
fn digits_do_not_move_from_the_timestamp_into_the_body_and_stay_an_event() {
    let signed = make(&PAIRS[..1]).sign(&Unsigned::json("", b"{}"), at(1_700_000_000)).unwrap();
    let mut headers: HeaderMap = signed.headers.into_iter().collect();
    headers.insert("x-signature-timestamp", HeaderValue::from_static("1700000000{"));
    let refused = make(&PAIRS[..1]).verify(&Request::post(&headers, b"}"), at(1_700_000_000));
    assert!(matches!(refused, Err(Error::HeaderMalformed { .. })), "{refused:?}");
}

#[test]
fn what_is_no_key_is_told_without_being_shown() {
    for bad in [
        "",
        "abc",
        &PAIRS[0][..62],
        &PAIRS[0][..126],
        &"0".repeat(130),
        &"7".repeat(128),
        "zz".repeat(32).as_str(),
    ] {
        let problem = Discord::new(bad).unwrap_err().to_string();
        assert!(problem.contains("64 hex digits") && (bad.len() < 4 || !problem.contains(bad)), "{problem}");
    }
}

#[test]
fn discord_s_library_and_ours_agree() {
    let test = "discord_s_library_and_ours_agree";
    let made: judges::Make = |secrets| Box::new(make(secrets));
    if let Err(missing) =
        judges::agree(&Judge::Python("discord_interactions"), "discord", [PAIRS[0], PAIRS[1]], made)
    {
        skip!(test, missing);
    }
}
