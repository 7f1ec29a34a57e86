//! Durable API automations in plain async Rust.
