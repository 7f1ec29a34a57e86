//! The client against real servers on loopback.

mod alone;
mod failing;
mod limits;
mod redirects;
mod remote;
mod secrets;
mod sending;
mod tls;
