//! What a program reads and writes, bounded.
//!
//! All three go on at the same time: a program that writes before it has read everything blocks nobody.

use std::{io, os::fd::OwnedFd};

use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::unix::pipe,
};

use crate::launch::GO;

/// How much is read at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Lets the program begin, and gives it all of its input. One that does not read it to the end is no error.
pub(crate) async fn feed(stdin: OwnedFd, input: Bytes) -> io::Result<()> {
    let mut stdin = pipe::Sender::from_owned_fd(stdin)?;
    let written = async {
        stdin.write_all(GO).await?;
        stdin.write_all(&input).await
    };
    match written.await {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The beginning of a stream.
pub(crate) struct Head {
    pub(crate) bytes: Vec<u8>,
    bytes_max: usize,
    /// There was more.
    pub(crate) is_over: bool,
}

impl Head {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: vec![], bytes_max, is_over: false }
    }

    /// Reads to the end, or until it is too much.
    pub(crate) async fn fill(&mut self, stdout: OwnedFd) -> io::Result<()> {
        let mut stdout = pipe::Receiver::from_owned_fd(stdout)?;
        loop {
            self.bytes.reserve(CHUNK_BYTES);
            if stdout.read_buf(&mut self.bytes).await? == 0 {
                return Ok(());
            }
            if self.bytes.len() > self.bytes_max {
                self.is_over = true;
                self.bytes = vec![];
                return Ok(());
            }
        }
    }
}

/// The end of a stream.
pub(crate) struct Tail {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Tail {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: vec![], bytes_max }
    }

    /// Reads to the end, and keeps what is last.
    pub(crate) async fn fill(&mut self, stderr: OwnedFd) -> io::Result<()> {
        let mut stderr = pipe::Receiver::from_owned_fd(stderr)?;
        loop {
            self.bytes.reserve(CHUNK_BYTES);
            if stderr.read_buf(&mut self.bytes).await? == 0 {
                return Ok(());
            }
            self.cut();
        }
    }

    fn cut(&mut self) {
        // Not with every chunk: the rest is moved each time.
        if self.bytes.len() > 2 * self.bytes_max {
            self.bytes.drain(..self.bytes.len() - self.bytes_max);
        }
    }

    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.bytes.len().saturating_sub(self.bytes_max));
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_the_end_and_its_memory_is_bounded() {
        let mut tail = Tail::new(4);
        for n in 0..1000 {
            tail.bytes.extend_from_slice(format!("{n},").as_bytes());
            tail.cut();
            assert!(tail.bytes.len() <= 8 + 4);
        }
        assert_eq!(tail.into_bytes(), b"999,");
    }
}
