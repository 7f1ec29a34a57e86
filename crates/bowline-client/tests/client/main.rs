//! The client against real servers on loopback.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod alone;
mod broken;
mod budget;
mod cache_suite;
mod cached;
mod certificates;
mod diverted;
mod downloaded;
#[cfg(feature = "xml")]
mod elements;
mod exports;
mod failing;
mod graphql;
mod idle;
mod interplay;
mod limited;
mod limited_by_cost;
mod limits;
mod oauth;
mod oauth_authlib;
mod oauth_certified;
mod oauth_consent;
mod oauth_killed;
mod oauth_peer;
mod oauth_store;
mod paging;
mod records;
mod redirects;
mod refused;
mod remote;
mod secrets;
mod sending;
mod signed;
#[cfg(feature = "sigv4")]
mod signed_aws;
#[cfg(feature = "soap")]
mod soap_calls;
#[cfg(feature = "soap")]
mod soap_operations;
#[cfg(feature = "soap")]
mod soap_rpc;
#[cfg(feature = "soap")]
mod soap_spyne;
mod streamed;
mod streaming;
mod tls;
mod uploaded;
mod validated;
