//! The library that computes, found and loaded once for this process.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ort::environment::Environment;

/// The variable that names ONNX Runtime's library file.
pub const LIBRARY_VARIABLE: &str = "ORT_DYLIB_PATH";

/// What the library is called where the system's loader looks for it.
#[cfg(target_os = "macos")]
const LIBRARY_NAME: &str = "libonnxruntime.dylib";
#[cfg(not(target_os = "macos"))]
const LIBRARY_NAME: &str = "libonnxruntime.so";

/// There can be only one in a process.
static RUNTIME: Mutex<Option<Environment>> = Mutex::new(None);

/// The runtime: loaded from that file, or else from the one that the variable names, or else from where the system looks.
/// Once it is loaded, it is that one.
///
/// # Errors
/// Says which variable names the library, and how to get it.
pub(crate) fn runtime(library: Option<&Path>) -> Result<Environment, String> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*runtime {
        return Ok(runtime.clone());
    }
    let from_variable =
        || std::env::var_os(LIBRARY_VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from);
    let named = library.map(Path::to_owned).or_else(from_variable);
    let path = named.clone().unwrap_or_else(|| LIBRARY_NAME.into());
    if named.is_some() && !path.is_file() {
        return Err(not_loaded(&format!(
            "{LIBRARY_VARIABLE} is {}, and there is no such file",
            path.display()
        )));
    }
    let begun = ort::init_from(&path).map_err(|error| match named {
        Some(_) => not_loaded(&error.to_string()),
        None => not_loaded(&format!("{LIBRARY_VARIABLE} is not set, and {error}")),
    })?;
    // The builds of Microsoft would tell Microsoft which models are run.
    let made = begun.with_name("bowline").with_telemetry(false).build();
    let made = made.map_err(|error| format!("ONNX Runtime does not start: {error}"))?;
    *runtime = Some(made.clone());
    Ok(made)
}

fn not_loaded(why: &str) -> String {
    format!(
        "ONNX Runtime cannot be loaded: {why}; set {LIBRARY_VARIABLE} to its library. It is in PyPI's package onnxruntime: \
         `pip download --no-deps onnxruntime`, unzip the wheel, and take onnxruntime/capi/libonnxruntime.so.1.*"
    )
}
