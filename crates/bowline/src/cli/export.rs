//! `export`: a run as a file, which a test replays against today's code.

use std::{fs, path::Path};

use super::{CliContext, Control, Error, Result, args::ExportArgs, print};

pub(super) async fn export(context: &CliContext, args: &ExportArgs) -> Result {
    let control = Control::open(context).await?;
    let fixture = control.export(&context.app, args.run).await;
    control.close().await?;
    let text = fixture?.to_json();
    match &args.out {
        None => print(&text),
        Some(file) => {
            write(file, &text)?;
            print(&format!(
                "run {} is in {}: its event and what its steps yielded, possibly personal data; look before you commit \
                 it\n",
                args.run,
                file.display()
            ))
        }
    }
}

/// Never over another file: it may be a fixture that somebody edited.
fn write(file: &Path, text: &str) -> Result {
    let cannot = |error: std::io::Error| {
        let message = format!("cannot write {}: {error}", file.display());
        match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                Error::new(message).hint("remove the file first, or write to another one")
            }
            _ => Error::new(message),
        }
    };
    let mut to = fs::OpenOptions::new().write(true).create_new(true).open(file).map_err(cannot)?;
    std::io::Write::write_all(&mut to, text.as_bytes()).map_err(cannot)
}
