//! A program's output as a value.

use std::any::type_name;

use serde::de::DeserializeOwned;

use super::Printed;

/// What a program that is done left behind, without secrets.
pub(super) struct Finished {
    pub(super) code: i32,
    pub(super) output: Vec<u8>,
}

/// As text.
pub(super) fn text(finished: Finished) -> Result<Printed, String> {
    let Finished { code, output } = finished;
    let text = String::from_utf8(output).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        format!("its output is not text (UTF-8) at byte {at}; let it write bytes to a file, or print them in base64")
    })?;
    Ok(Printed { code, text })
}

/// As JSON. The error says where, and shows no values.
pub(super) fn json<T: DeserializeOwned>(finished: Finished) -> Result<T, String> {
    let output = finished.output.trim_ascii();
    let output = if output.is_empty() { b"null" } else { output };
    let mut json = serde_json::Deserializer::from_slice(output);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        told::<T>(error.inner(), Some(path).filter(|path| path != "."), output)
    })?;
    json.end().map_err(|error| told::<T>(&error, None, output))?;
    Ok(value)
}

fn told<T>(error: &serde_json::Error, path: Option<String>, output: &[u8]) -> String {
    let place = format!("line {} column {} of {} bytes", error.line(), error.column(), output.len());
    match error.classify() {
        serde_json::error::Category::Data => {
            let at = path.map(|path| format!("{path}, ")).unwrap_or_default();
            let what = if output == b"null" { "it printed nothing, or null, which" } else { "its output" };
            format!("{what} does not fit {} (at {at}{place})", type_name::<T>())
        }
        serde_json::error::Category::Syntax
        | serde_json::error::Category::Eof
        | serde_json::error::Category::Io => {
            format!(
                "its output is not JSON (at {place}); let it print one JSON document, and log to its standard error"
            )
        }
    }
}
