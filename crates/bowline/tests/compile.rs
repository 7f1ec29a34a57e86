//! What an author reads who made a mistake: each file in `compile/` is one, beside it the compiler's words.
//!
//! The words are those of the compiler that the workspace names as its `rust-version`. After a change of either, write them
//! anew with `TRYBUILD=overwrite cargo test -p bowline --test compile`, and read them as somebody would who is new here.

#[test]
fn every_mistake_is_said_in_words_that_help() {
    trybuild::TestCases::new().compile_fail("tests/compile/*.rs");
}
