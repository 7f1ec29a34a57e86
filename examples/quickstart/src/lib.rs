//! The example `stripe-to-crm` with stand-ins for Stripe and the CRM, told as a story.
//!
//! What comes in: a command line. What goes out: the story on the screen, and an exit code that says whether it
//! happened as told. What must never happen here: a word about a run that its journal does not hold.
//!
//! It is one process, so that killing it kills everything: `launch` finds a folder and free ports, sets the app's
//! environment and becomes the app (`exec`). Beside the app run the two stand-ins and a thread that tells the story; it
//! sees the runs as an operator does, through the admin API.
//!
//! | Module | Story |
//! |---|---|
//! | `launch` | what is asked for, and the environment that it needs |
//! | `place` | the folder, and the files in it |
//! | `play` | the app with its stand-ins and its teller, until it is stopped |
//! | `stripe` | a Stripe that signs events and posts them |
//! | `crm` | a CRM that has its moods, and remembers across a kill what it was asked |
//! | `admin` | runs and their timelines, as the admin API shows them |
//! | `story` | five events, and what must become of each |
//! | `again` | a second start: what was recovered |
//! | `stay` | lines to try, and whatever happens next |
//! | `teller` | one run's timeline, line by line as it grows |
//! | `screen` | writing to the terminal |

mod admin;
mod again;
mod crm;
mod launch;
mod place;
mod play;
mod screen;
mod stay;
mod story;
mod stripe;
mod teller;

pub use launch::main;

/// An error with its story; whoever reads it is a person.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Error> = std::result::Result<T, E>;

/// The README's code, compiled.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
