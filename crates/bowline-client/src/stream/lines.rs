//! One JSON value per line.

use std::collections::VecDeque;

use bytes::Bytes;
use memchr::memchr;

use super::{Error, ITEM_BYTES_MAX, Split, grammar::is_space};

/// Splits lines of JSON (NDJSON, JSON Lines) into their values.
///
/// A line ends with LF or CRLF; the last one may end with the input. Lines of nothing but spaces are skipped. Lines
/// stand each for itself: one that cannot be read is an [`Error::Item`], and the next one follows. `index` counts
/// the lines that are not empty.
///
/// # Lines in chunks
/// ```
/// use bowline_client::stream::{JsonLines, Split};
///
/// let mut lines = JsonLines::new();
/// lines.feed("{\"id\": 1}\r\n\n{\"id\"".into());
/// assert_eq!(lines.next_item::<serde_json::Value>()?.unwrap()["id"], 1);
/// assert_eq!(lines.next_bytes()?, None, "more is needed");
/// lines.feed(": 2}".into());
/// lines.end();
/// assert_eq!(lines.next_item::<serde_json::Value>()?.unwrap()["id"], 2);
/// # Ok::<(), bowline_client::stream::Error>(())
/// ```
#[derive(Debug)]
pub struct JsonLines {
    item_bytes_max: usize,
    chunks: VecDeque<Bytes>,
    /// The line so far, as earlier chunks had it.
    begun: Vec<u8>,
    /// Of the line's first byte.
    offset: u64,
    count: u64,
    ended: bool,
    failed: Option<Error>,
}

impl JsonLines {
    /// Lines of any length up to the limit.
    pub fn new() -> Self {
        Self {
            item_bytes_max: ITEM_BYTES_MAX,
            chunks: VecDeque::new(),
            begun: vec![],
            offset: 0,
            count: 0,
            ended: false,
            failed: None,
        }
    }

    /// The longest line, in bytes and without its end: 16 MiB unless said.
    ///
    /// # Short lines
    /// ```
    /// let lines = bowline_client::stream::JsonLines::new().item_bytes_max(64 * 1024);
    /// ```
    pub fn item_bytes_max(mut self, bytes: usize) -> Self {
        self.item_bytes_max = bytes;
        self
    }

    /// The next line without its end, empty or not, and its offset. `None`: the input is used up.
    fn line(&mut self) -> Result<Option<(u64, Bytes)>, Error> {
        while let Some(chunk) = self.chunks.front_mut() {
            let Some(end) = memchr(b'\n', chunk) else {
                self.begun.extend_from_slice(chunk);
                self.chunks.pop_front();
                self.check(self.begun.len())?;
                continue;
            };
            let part = chunk.split_to(end + 1).slice(..end);
            if chunk.is_empty() {
                self.chunks.pop_front();
            }
            return self.complete(part, 1).map(Some);
        }
        if self.ended && !self.begun.is_empty() {
            return self.complete(Bytes::new(), 0).map(Some);
        }
        Ok(None)
    }

    fn complete(&mut self, part: Bytes, end_bytes: u64) -> Result<(u64, Bytes), Error> {
        let mut line = if self.begun.is_empty() {
            part
        } else {
            self.begun.extend_from_slice(&part);
            std::mem::take(&mut self.begun).into()
        };
        let offset = self.offset;
        let bytes = line.len() as u64 + end_bytes;
        if line.ends_with(b"\r") {
            line.truncate(line.len() - 1);
        }
        self.check(line.len())?;
        self.offset += bytes;
        Ok((offset, line))
    }

    /// What is so long without an end may yet end with a carriage return.
    fn check(&self, bytes: usize) -> Result<(), Error> {
        let bytes_max = self.item_bytes_max;
        let carriage_return = usize::from(self.begun.ends_with(b"\r"));
        if bytes.saturating_sub(carriage_return) > bytes_max {
            return Err(Error::TooLarge { index: self.count, offset: self.offset, bytes_max });
        }
        Ok(())
    }

    fn next_line(&mut self) -> Result<Option<(u64, Bytes)>, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        loop {
            match self.line() {
                Ok(Some((_, line))) if line.iter().all(|byte| is_space(*byte)) => {}
                Ok(Some(line)) => {
                    self.count += 1;
                    return Ok(Some(line));
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.failed = Some(error.clone());
                    return Err(error);
                }
            }
        }
    }
}

impl Default for JsonLines {
    fn default() -> Self {
        Self::new()
    }
}

impl Split for JsonLines {
    const FORMAT: &'static str = "lines of JSON";

    fn anew(&self) -> Self {
        Self::new().item_bytes_max(self.item_bytes_max)
    }

    fn feed(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    fn end(&mut self) {
        self.ended = true;
    }

    fn next_bytes(&mut self) -> Result<Option<Bytes>, Error> {
        Ok(self.next_line()?.map(|(_, line)| line))
    }

    fn next_item<T: serde::de::DeserializeOwned>(&mut self) -> Result<Option<T>, Error> {
        let Some((offset, line)) = self.next_line()? else { return Ok(None) };
        let index = self.count - 1;
        // What a type does not look at must be UTF-8 as well.
        let line = std::str::from_utf8(&line).map_err(|error| Error::Item {
            index,
            offset,
            problem: format!("cannot be read: {error}"),
        })?;
        serde_json::from_str(line).map(Some).map_err(|error| Error::item(index, offset, &error))
    }
}
