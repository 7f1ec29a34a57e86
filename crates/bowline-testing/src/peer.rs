//! Peers that are not written in Rust.

mod node;
mod python;

pub use node::node;
pub use python::python;
