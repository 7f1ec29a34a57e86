//! `MODEL_FOLDER=… ORT_DYLIB_PATH=… cargo run -p classify`: see [`classify::app`].

use std::process::ExitCode;

fn main() -> ExitCode {
    classify::app().main()
}
