//! All that is logged in this process, at every level.

use std::{
    io::{self, Write},
    sync::{Mutex, Once, PoisonError},
};

static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

struct ToMemory;

impl Write for ToMemory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(crate) fn capture() {
    static CAPTURE: Once = Once::new();
    CAPTURE.call_once(|| {
        tracing_subscriber::fmt()
            .json()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(|| ToMemory)
            .init();
    });
}

pub(crate) fn all() -> String {
    String::from_utf8_lossy(&WRITTEN.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}

/// The lines that have this in them.
pub(crate) fn lines_with(part: &str) -> Vec<String> {
    all().lines().filter(|line| line.contains(part)).map(ToOwned::to_owned).collect()
}
