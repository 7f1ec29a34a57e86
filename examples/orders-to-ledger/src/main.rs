//! `orders-to-ledger`: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    orders_to_ledger::app().main()
}
