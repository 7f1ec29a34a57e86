//! The guide's code, compiled and run as the documentation of these modules.

#[doc = include_str!("../../../docs/guide/flow-control.md")]
mod flow_control {}

#[doc = include_str!("../../../docs/guide/programs.md")]
mod programs {}

#[doc = include_str!("../../../docs/guide/state.md")]
mod state {}

#[doc = include_str!("../../../docs/guide/outside.md")]
mod outside {}

#[doc = include_str!("../../../docs/guide/time.md")]
mod time {}

#[doc = include_str!("../../../docs/guide/branches.md")]
mod branches {}

#[doc = include_str!("../../../docs/guide/changing-code.md")]
mod changing_code {}

#[doc = include_str!("../../../docs/guide/undo.md")]
mod undo {}

#[doc = include_str!("../../../docs/guide/cancel.md")]
mod cancel {}

#[doc = include_str!("../../../docs/guide/loops.md")]
mod loops {}
