//! Whose file it is, and who holds it.

use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

use bowline_model::{CredentialStore, RunId, Secret};
use bowline_store::{Batch, LockHolder, SqliteStore, Store, StoreErrorKind, lock_holder};
use rusqlite::Connection;

use super::{ask, open, options, place};
use crate::bench::{TestClock, at, event, run_of};

/// The version of this build's tables.
const VERSION: i64 = 8;

#[tokio::test]
async fn refuses_a_second_server_and_says_who_has_the_store() {
    let (_folder, path) = place();
    let first = open(&path);
    let refused = SqliteStore::open(&path, options(), Arc::new(TestClock::default())).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Locked);
    let message = refused.to_string();
    assert!(message.contains(path.to_str().unwrap()), "{message}");
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(message.contains("stop it first"), "{message}");
    first.start_node(at(0)).await.unwrap();
    drop(first);
    open(&path);
}

#[tokio::test]
async fn lets_the_next_server_in_after_a_close() {
    let (_folder, path) = place();
    let first = open(&path);
    first.close().await.unwrap();
    let second = open(&path);
    second.start_node(at(0)).await.unwrap();
    drop(first);
    assert!(lock_holder(&path).is_some(), "the one that was closed does not take the lock along");
}

#[test]
fn names_the_holder_and_its_admin_address() {
    let (_folder, path) = place();
    assert_eq!(lock_holder(&path), None);
    let store = open(&path);
    let pid = Some(std::process::id());
    assert_eq!(lock_holder(&path), Some(LockHolder { pid, admin: None }));
    let admin = "127.0.0.1:8081".parse().unwrap();
    store.set_admin_address(admin).unwrap();
    assert_eq!(lock_holder(&path), Some(LockHolder { pid, admin: Some(admin) }));
    let file = fs::read_to_string(format!("{}-lock", path.display())).unwrap();
    assert_eq!(file.trim(), format!(r#"{{"pid":{},"admin":"127.0.0.1:8081"}}"#, std::process::id()));
    drop(store);
    assert_eq!(lock_holder(&path), None);
    let next = open(&path);
    assert_eq!(lock_holder(&path), Some(LockHolder { pid, admin: None }), "no address of the one before");
    drop(next);
}

#[test]
fn does_not_pass_the_lock_to_child_processes() {
    let (_folder, path) = place();
    let store = open(&path);
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    drop(store);
    assert_eq!(lock_holder(&path), None);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn refuses_a_file_of_another_program() {
    let (_folder, path) = place();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = fs::read(&path).unwrap();
    let refused = SqliteStore::open(&path, options(), Arc::new(TestClock::default())).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Incompatible);
    assert!(refused.to_string().contains("another program"), "{refused}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn refuses_a_file_that_is_no_database() {
    let (_folder, path) = place();
    let text =
        "not a database, but longer than a hundred bytes, which is what a database's header has. ".repeat(2);
    fs::write(&path, &text).unwrap();
    let refused = SqliteStore::open(&path, options(), Arc::new(TestClock::default())).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Incompatible);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn refuses_a_file_of_a_newer_version() {
    let (_folder, path) = place();
    drop(open(&path));
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = SqliteStore::open(&path, options(), Arc::new(TestClock::default())).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Incompatible);
    assert!(refused.to_string().contains("version 99"), "{refused}");
}

#[test]
fn says_that_the_folder_is_missing() {
    let (folder, _) = place();
    let path = folder.path().join("no such folder").join("bowline.db");
    let refused = SqliteStore::open(&path, options(), Arc::new(TestClock::default())).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Unavailable);
    assert!(refused.to_string().contains("check that the folder exists"), "{refused}");
}

#[test]
fn creates_files_that_only_their_owner_reads() {
    let (folder, path) = place();
    let store = open(&path);
    for file in fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.file_name());
    }
    drop(store);
}

#[tokio::test]
async fn marks_the_file_and_leaves_no_log_behind() {
    let (folder, path) = place();
    let store = open(&path);
    store.probe(at(1)).await.unwrap();
    assert_eq!(store.run(RunId(1)).await.unwrap(), None);
    store.close().await.unwrap();
    assert_eq!(ask(&path, "PRAGMA application_id"), 0x426f_776c);
    assert_eq!(ask(&path, "PRAGMA user_version"), VERSION);
    assert!(!folder.path().join("bowline.db-wal").exists());
}

#[test]
fn one_file_has_one_owner_by_whatever_name_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("bowline.db"), folder.path().join("link.db"));
    let held = SqliteStore::open(&path, options(), Arc::new(TestClock::default())).unwrap();
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let refused = SqliteStore::open(&link, options(), Arc::new(TestClock::default())).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Locked);
    assert_eq!(lock_holder(&link), lock_holder(&path));
    std::fs::remove_file(&link).unwrap();
    std::fs::hard_link(&path, &link).unwrap();
    let refused = SqliteStore::open(&link, options(), Arc::new(TestClock::default())).unwrap_err();
    assert_eq!(refused.kind(), StoreErrorKind::Incompatible);
    assert!(refused.to_string().contains("has 2 names (hard links)"), "{refused}");
    drop(held);
}

#[tokio::test]
async fn brings_a_file_of_version_1_to_this_builds() {
    let (_folder, path) = place();
    let store = open(&path);
    store.accept(Batch { events: vec![event("1", vec![run_of("a")])], ..Batch::default() }).await.unwrap();
    store.close().await.unwrap();
    let as_it_was = "DROP TABLE bowline_state; DROP TABLE credential; DROP TABLE credential_lease; DROP TABLE rate; DROP TABLE batch; \
         DROP TABLE pause; DROP INDEX run_front; DROP INDEX run_held; DROP INDEX run_dead; DROP INDEX run_unique; \
         DROP INDEX run_gather; DROP INDEX run_rated; ALTER TABLE run DROP COLUMN together_max; \
         ALTER TABLE run DROP COLUMN dead_blocks; ALTER TABLE run DROP COLUMN unique_key; \
         ALTER TABLE run DROP COLUMN rate; ALTER TABLE run DROP COLUMN rate_every; ALTER TABLE run DROP COLUMN gather; \
         ALTER TABLE run DROP COLUMN gather_until; ALTER TABLE run DROP COLUMN gather_left; \
         ALTER TABLE run DROP COLUMN gather_bytes; DROP TABLE message; DROP TABLE mailbox; DROP TABLE child; DROP INDEX run_parent; \
         DROP TABLE bowline_went_on; DROP TABLE bowline_chain; \
         DROP INDEX past_0_parent; DROP INDEX past_1_parent; PRAGMA user_version = 1;";
    Connection::open(&path).unwrap().execute_batch(as_it_was).unwrap();
    let store = open(&path);
    store.save("crm", 0, Secret::new("sealed"), None).await.unwrap();
    assert_eq!(store.load("crm").await.unwrap().unwrap().value.expose(), "sealed");
    assert!(store.run(RunId(1)).await.unwrap().is_some());
    assert_eq!(ask(&path, "PRAGMA user_version"), VERSION);
}
