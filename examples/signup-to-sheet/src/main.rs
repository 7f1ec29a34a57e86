//! `SHEETS_WEBHOOK_URL=… AGIFY_BASE_URL=… cargo run -p signup-to-sheet`: see [`signup_to_sheet::app`].

use std::process::ExitCode;

fn main() -> ExitCode {
    signup_to_sheet::app().main()
}
