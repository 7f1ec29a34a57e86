//! The kit for tests of automations, as a test's author meets it.

mod correct;
mod crashes;
mod doors;
mod mocks;
mod planted;
mod shop;
mod time;
