//! Events enter over real sockets, into a real store.

mod answers;
mod clock;
mod doors;
mod duplicates;
mod durable;
mod encrypted;
mod gate;
mod hand;
mod log;
mod pages;
mod posts;
mod program;
mod refusals;
mod replay;
mod secrecy;
mod site;
mod sockets;
mod waiting;
mod wire;
