//! Which build of the user's program this is.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
};

use bowline_model::BuildId;
use sha2::{Digest, Sha256};

/// How much of each end of the executable is read. The linker's own build id is near its start, the symbols near its
/// end: a digest of both and of the length tells builds apart without reading a hundred megabytes at every start.
const END_BYTES: u64 = 64 * 1024;

/// The app's version and a digest of its executable: `1.2.0+3f9a0c1d`.
pub(crate) fn build_id(version: &str) -> BuildId {
    match executable_digest() {
        Ok(digest) => BuildId::new(format!("{version}+{digest}")),
        Err(_) => BuildId::new(version),
    }
}

fn executable_digest() -> std::io::Result<String> {
    let mut file = File::open(std::env::current_exe()?)?;
    let len = file.metadata()?.len();
    let mut hash = Sha256::new();
    hash.update(len.to_be_bytes());
    let mut end = Vec::new();
    file.by_ref().take(END_BYTES).read_to_end(&mut end)?;
    file.seek(SeekFrom::Start(len.saturating_sub(END_BYTES)))?;
    file.take(END_BYTES).read_to_end(&mut end)?;
    hash.update(&end);
    Ok(hash.finalize().iter().take(4).map(|byte| format!("{byte:02x}")).collect())
}
