//! `stripe-to-crm`: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    stripe_to_crm::app().main()
}
