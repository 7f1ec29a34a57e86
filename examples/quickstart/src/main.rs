//! `cargo run -p quickstart`: see the library of the same name.

use std::process::ExitCode;

fn main() -> ExitCode {
    quickstart::main()
}
