//! The client against real HTTP servers on loopback.

mod remote;

mod sending;
