//! `BANK_BASE_URL=… SHOP_API_KEY=… cargo run -p approved-refund`: see [`approved_refund::app`].

use std::process::ExitCode;

fn main() -> ExitCode {
    approved_refund::app().main()
}
