//! Models in ONNX files as steps.
//!
//! What comes in: a model's file, read once at set-up, and columns of text and numbers. What goes out: an
//! [`Inference`], which a step runs. What must never happen here: a result that differs from the runtime's own (so it is ONNX
//! Runtime itself that computes, loaded at run time, and no evaluator of our own), or an inference on an async thread.
//!
//! | Module | Story |
//! |---|---|
//! | [`model`] | a model's file, loaded |
//! | `runtime` | the library that computes, found and loaded once |
//! | [`inference`] | inputs for a model, as a step runs them |
//! | [`outputs`] | what a model answers: tensors, or labels with their probabilities |

pub mod inference;
pub mod model;
pub mod outputs;
mod runtime;

pub use inference::Inference;
pub use model::{LoadError, Model};
pub use outputs::{Label, Outputs, Tensor, Values};
pub use runtime::LIBRARY_VARIABLE;
