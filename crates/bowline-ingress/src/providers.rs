//! One file per provider.
//!
//! | Provider | Retries for | Deduplicated for | A workflow receives |
//! |---|---|---|---|
//! | [`Stripe`] | 3 days | [30 days](stripe::DEDUPE_FOR) | [`/data/object`](stripe::INPUT_POINTER) |

pub mod stripe;

pub use stripe::Stripe;
