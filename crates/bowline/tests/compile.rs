//! What an author reads who made a mistake: each file in `compile/` is one, beside it the compiler's words.
//!
//! The words are those of the compiler that the workspace names as its `rust-version`. After a change of either, write them
//! anew with `TRYBUILD=overwrite cargo test -p bowline --test compile`, and read them as somebody would who is new here.

use std::process::Command;

#[test]
fn every_mistake_is_said_in_words_that_help() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").output().expect("what compiled this test is there");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let words_of = concat!("rustc ", env!("CARGO_PKG_RUST_VERSION"), ".");
    if !version.starts_with(words_of) {
        let reason = format!("the words are those of {words_of}x, and this is {version}");
        bowline_testing::skip!("every_mistake_is_said_in_words_that_help", reason.trim());
    }
    trybuild::TestCases::new().compile_fail("tests/compile/*.rs");
}
