//! Credentials: on disk when answered, replaced only by who knows them, refreshed by one at a time.

use std::time::Duration;

use bowline_model::{
    CredentialError, Secret,
    credential::{CREDENTIAL_BYTES_MAX, CREDENTIAL_LEASE_MAX, CREDENTIAL_NAME_BYTES_MAX, CREDENTIALS_MAX},
};
use futures_util::future::join_all;
use jiff::Timestamp;

use crate::bench::{Bench, at};

const MINUTE: Duration = Duration::from_mins(1);

async fn save(bench: &Bench, name: &str, replaces: i64, value: &str) -> Result<i64, CredentialError> {
    bench.credentials().save(name, replaces, Secret::new(value), None).await
}

async fn lease(bench: &Bench, holder: &str, now: Timestamp) -> bool {
    bench.credentials().lease("crm", holder, now, MINUTE).await.unwrap()
}

/// The version and the value of what is stored under that name.
async fn loaded(bench: &Bench, name: &str) -> Option<(i64, String)> {
    let stored = bench.credentials().load(name).await.unwrap()?;
    Some((stored.version, stored.value.expose().to_owned()))
}

#[track_caller]
fn assert_changed<T: std::fmt::Debug>(answer: Result<T, CredentialError>, is_at: i64) {
    match answer {
        Err(CredentialError::Changed { version }) => assert_eq!(version, is_at),
        answer => panic!("{answer:?} is no word of a change"),
    }
}

#[track_caller]
fn assert_limit<T: std::fmt::Debug>(answer: Result<T, CredentialError>, says: &str) {
    match answer {
        Err(CredentialError::Limit(message)) => assert!(message.contains(says), "{message}"),
        answer => panic!("{answer:?} is no word of a limit"),
    }
}

pub(crate) async fn knows_no_credential_that_was_never_saved(bench: &mut Bench) {
    assert_eq!(loaded(bench, "crm").await, None);
    assert_eq!(bench.credentials().names("").await.unwrap(), [""; 0]);
    bench.credentials().forget("crm", 1).await.unwrap();
    bench.credentials().release("crm", "me").await.unwrap();
    assert_changed(save(bench, "crm", 7, "new").await, 0);
}

pub(crate) async fn gives_a_credential_back_as_it_was_saved(bench: &mut Bench) {
    let (value, until) = (Secret::new("sealed: \0 'ü' \u{1F511}"), Timestamp::from_nanosecond(7).unwrap());
    let version = bench.credentials().save("crm/é", 0, value, Some(until)).await.unwrap();
    let stored = bench.credentials().load("crm/é").await.unwrap().unwrap();
    assert!(version > 0);
    assert_eq!((stored.version, stored.expires_at), (version, Some(until)));
    assert_eq!(stored.value.expose(), "sealed: \0 'ü' \u{1F511}");
    assert!(!format!("{stored:?}").contains("sealed"), "{stored:?}");
}

pub(crate) async fn replaces_only_the_credential_that_was_read(bench: &mut Bench) {
    let first = save(bench, "crm", 0, "a").await.unwrap();
    assert_changed(save(bench, "crm", 0, "b").await, first);
    let second = save(bench, "crm", first, "b").await.unwrap();
    assert!(second > first);
    assert_changed(save(bench, "crm", first, "c").await, second);
    assert_eq!(loaded(bench, "crm").await, Some((second, "b".to_owned())));
}

pub(crate) async fn stores_one_of_many_that_replace_the_same_credential(bench: &mut Bench) {
    let first = save(bench, "crm", 0, "first").await.unwrap();
    let values: Vec<_> = (0..50).map(|number| format!("token {number}")).collect();
    let answers = join_all(values.iter().map(|value| save(bench, "crm", first, value))).await;
    let won: Vec<_> = answers
        .iter()
        .zip(&values)
        .filter_map(|(answer, value)| Some((*answer.as_ref().ok()?, value.clone())))
        .collect();
    assert_eq!(won.len(), 1);
    assert_eq!(loaded(bench, "crm").await, won.first().cloned());
    for answer in answers.into_iter().filter(Result::is_err) {
        assert_changed(answer, won[0].0);
    }
}

pub(crate) async fn stores_a_repeated_save_once(bench: &mut Bench) {
    let first = save(bench, "crm", 0, "a").await.unwrap();
    let second = save(bench, "crm", first, "b").await.unwrap();
    assert_eq!(save(bench, "crm", first, "b").await.unwrap(), second, "its first answer was lost");
    let later = bench.credentials().save("crm", first, Secret::new("b"), Some(at(9))).await;
    assert_changed(later, second);
}

pub(crate) async fn forgets_a_credential_at_the_version_that_was_read(bench: &mut Bench) {
    let first = save(bench, "crm", 0, "a").await.unwrap();
    let second = save(bench, "crm", first, "b").await.unwrap();
    assert_changed(bench.credentials().forget("crm", first).await, second);
    bench.credentials().forget("crm", second).await.unwrap();
    assert_eq!(loaded(bench, "crm").await, None);
    bench.credentials().forget("crm", second).await.unwrap();
}

pub(crate) async fn never_gives_a_version_again(bench: &mut Bench) {
    let first = save(bench, "crm", 0, "a").await.unwrap();
    bench.credentials().forget("crm", first).await.unwrap();
    bench.crash_and_restart(at(1)).await;
    let second = save(bench, "crm", 0, "b").await.unwrap();
    assert!(second > first);
    assert_changed(save(bench, "crm", first, "of one who slept").await, second);
}

pub(crate) async fn lists_credentials_by_the_beginning_of_their_names(bench: &mut Bench) {
    for name in ["xero/b", "crm/a", "xero/a", "xeroxes", "xero_/c", "Xero/d"] {
        save(bench, name, 0, name).await.unwrap();
    }
    assert_eq!(bench.credentials().names("xero/").await.unwrap(), ["xero/a", "xero/b"]);
    assert_eq!(bench.credentials().names("").await.unwrap().len(), 6);
    assert_eq!(loaded(bench, "xero/b").await.unwrap().1, "xero/b");
}

pub(crate) async fn finds_credentials_after_a_restart(bench: &mut Bench) {
    let first = save(bench, "crm", 0, "a").await.unwrap();
    let second = save(bench, "crm", first, "b").await.unwrap();
    bench.crash_and_restart(at(1)).await;
    assert_eq!(loaded(bench, "crm").await, Some((second, "b".to_owned())));
}

pub(crate) async fn keeps_credentials_whatever_retention_drops(bench: &mut Bench) {
    let saved = bench.credentials().save("crm", 0, Secret::new("a"), Some(at(1))).await.unwrap();
    bench.ended("1", at(1)).await;
    bench.tidy(at(30 * 86_400), at(60 * 86_400)).await;
    assert_eq!(loaded(bench, "crm").await, Some((saved, "a".to_owned())));
}

pub(crate) async fn leases_to_one_holder_at_a_time(bench: &mut Bench) {
    assert!(lease(bench, "one", at(0)).await);
    assert!(!lease(bench, "two", at(59)).await);
    assert!(lease(bench, "two", at(60)).await, "it ended with its time");
    assert!(!lease(bench, "one", at(60)).await);
    assert!(bench.credentials().lease("erp", "one", at(60), MINUTE).await.unwrap(), "another credential");
}

pub(crate) async fn leases_to_one_of_many_who_ask(bench: &mut Bench) {
    let holders: Vec<_> = (0..50).map(|number| format!("task {number}")).collect();
    let answers = join_all(holders.iter().map(|holder| lease(bench, holder, at(0)))).await;
    assert_eq!(answers.into_iter().filter(|is_held| *is_held).count(), 1);
}

pub(crate) async fn lets_a_holder_take_its_lease_for_longer(bench: &mut Bench) {
    assert!(lease(bench, "one", at(0)).await);
    assert!(lease(bench, "one", at(30)).await);
    assert!(!lease(bench, "two", at(89)).await);
    assert!(lease(bench, "two", at(90)).await);
}

pub(crate) async fn leases_again_once_the_holder_gave_it_back(bench: &mut Bench) {
    assert!(lease(bench, "one", at(0)).await);
    bench.credentials().release("crm", "two").await.unwrap();
    assert!(!lease(bench, "two", at(1)).await, "only its holder gives it back");
    bench.credentials().release("crm", "one").await.unwrap();
    assert!(lease(bench, "two", at(1)).await);
}

pub(crate) async fn ends_a_lease_of_a_clock_that_was_set_back(bench: &mut Bench) {
    let store = bench.credentials();
    assert!(store.lease("crm", "one", at(9000), 60 * CREDENTIAL_LEASE_MAX).await.unwrap());
    assert!(!lease(bench, "two", at(9599)).await, "as long as the longest");
    assert!(lease(bench, "two", at(8999)).await);
    assert!(!lease(bench, "one", at(8999)).await);
}

pub(crate) async fn saves_whoever_has_the_lease(bench: &mut Bench) {
    assert!(lease(bench, "one", at(0)).await);
    let saved = save(bench, "crm", 0, "by an operator").await.unwrap();
    assert_eq!(loaded(bench, "crm").await.unwrap().0, saved);
    assert!(!lease(bench, "two", at(1)).await, "a save ends no lease");
}

pub(crate) async fn refuses_credentials_past_the_limits(bench: &mut Bench) {
    let (long, large) = ("n".repeat(CREDENTIAL_NAME_BYTES_MAX), "v".repeat(CREDENTIAL_BYTES_MAX));
    save(bench, &long, 0, &large).await.unwrap();
    assert_limit(save(bench, &format!("{long}n"), 0, "a").await, "has 513 bytes");
    assert_limit(save(bench, "", 0, "a").await, "has 0 bytes");
    assert_limit(save(bench, "crm", 0, &format!("{large}v")).await, "the credential crm has 65537 bytes");
    assert_limit(bench.credentials().lease("crm", &format!("{long}n"), at(0), MINUTE).await, "holder");
    assert_eq!(bench.credentials().names("").await.unwrap(), [long]);
}

pub(crate) async fn refuses_more_credentials_than_the_limit(bench: &mut Bench) {
    let names: Vec<_> = (0..CREDENTIALS_MAX).map(|number| number.to_string()).collect();
    let saved = join_all(names.iter().map(|name| save(bench, name, 0, "a"))).await;
    let versions: Vec<_> = saved.into_iter().map(Result::unwrap).collect();
    assert_limit(save(bench, "one more", 0, "a").await, "10000 credentials");
    save(bench, "7", versions[7], "b").await.unwrap();
    bench.credentials().forget("0", versions[0]).await.unwrap();
    save(bench, "one more", 0, "a").await.unwrap();
}

pub(crate) async fn refuses_more_leases_than_the_limit_until_some_end(bench: &mut Bench) {
    let names: Vec<_> = (0..CREDENTIALS_MAX).map(|number| number.to_string()).collect();
    let store = bench.credentials();
    let held = join_all(names.iter().map(|name| store.lease(name, "one", at(0), MINUTE))).await;
    assert!(held.into_iter().all(Result::unwrap));
    assert_limit(store.lease("one more", "one", at(59), MINUTE).await, "10000 leases");
    assert!(store.lease("7", "one", at(59), MINUTE).await.unwrap(), "one that it has");
    assert!(store.lease("one more", "one", at(60), MINUTE).await.unwrap());
}
