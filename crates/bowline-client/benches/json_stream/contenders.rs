//! Each contender, in a process of its own.

use std::{fs, fs::File, io::Read, ops::Range, path::Path, time::Duration};

use bowline_client::stream::{JsonItems, Split};
use bytes::{Bytes, BytesMut};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Result, document::Order};

/// As much as a socket yields at once.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
const PATH: &str = "data.items";

/// What a contender did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    /// Of all ids, if it looked at them.
    pub(crate) sum: Option<u64>,
    /// CPU time, user and system.
    pub(crate) took: Duration,
    /// The most memory that was ever resident.
    pub(crate) peak_kib: u32,
}

impl Measured {
    pub(crate) fn seconds(self) -> f64 {
        self.took.as_secs_f64()
    }
}

/// Runs it: what it says is the sum, microseconds, KiB.
pub(crate) fn run(role: &str, path: &Path) -> Result<String> {
    let order = |order: Order| order.id;
    let value = |value: Value| value["id"].as_u64().unwrap_or(0);
    let (sum, took) = match role {
        "memory-struct" => stream_from_memory(path, order)?,
        "file-struct" => stream(path, |items| Ok(items.next_item()?.map(order)))?,
        "file-value" => stream(path, |items| Ok(items.next_item()?.map(value)))?,
        "file-bytes" => stream(path, |items| Ok(items.next_bytes()?.map(|_| 0)))?,
        "split-struct" => split_before(path, order)?,
        "split-value" => split_before(path, value)?,
        role => return Err(format!("no contender is called {role}").into()),
    };
    let sum = if role == "file-bytes" { "-".to_owned() } else { sum.to_string() };
    let peak = memory_peak_kib().ok_or("/proc/self/status has no VmHWM")?;
    Ok(format!("{sum} {} {peak}", took.as_micros()))
}

/// Reading the file is part of it: that is how bytes arrive here.
fn stream(
    path: &Path,
    mut next: impl FnMut(&mut JsonItems) -> Result<Option<u64>>,
) -> Result<(u64, Duration)> {
    let mut file = File::open(path)?;
    let mut items = JsonItems::at(PATH)?;
    let mut sum = 0;
    let began = cpu()?;
    let mut buffer = BytesMut::new();
    loop {
        // The memory of chunks that were read is used again, as a socket's reader does it.
        buffer.reserve(CHUNK_BYTES);
        buffer.resize(CHUNK_BYTES, 0);
        let read = file.read(&mut buffer)?;
        if read == 0 {
            items.end();
        } else {
            items.feed(buffer.split_to(read).freeze());
            buffer.clear();
        }
        while let Some(id) = next(&mut items)? {
            sum += id;
        }
        if read == 0 {
            return Ok((sum, cpu()? - began));
        }
    }
}

/// The document is in memory, as chunks.
fn stream_from_memory<T: DeserializeOwned>(path: &Path, id: impl Fn(T) -> u64) -> Result<(u64, Duration)> {
    let text = fs::read(path)?;
    let chunks: Vec<_> = text.chunks(CHUNK_BYTES).map(Bytes::copy_from_slice).collect();
    let mut items = JsonItems::at(PATH)?;
    let mut sum = 0;
    let began = cpu()?;
    for chunk in chunks {
        items.feed(chunk);
        while let Some(item) = items.next_item()? {
            sum += id(item);
        }
    }
    items.end();
    match items.next_bytes()? {
        None => Ok((sum, cpu()? - began)),
        Some(_) => Err("an item came after the document's end".into()),
    }
}

/// The document is in memory and every item's place is known before the clock starts.
fn split_before<T: DeserializeOwned>(path: &Path, id: impl Fn(T) -> u64) -> Result<(u64, Duration)> {
    let text = Bytes::from(fs::read(path)?);
    let ranges = ranges(&text)?;
    let began = cpu()?;
    let mut sum = 0;
    for range in ranges {
        sum += id(serde_json::from_slice(&text[range])?);
    }
    Ok((sum, cpu()? - began))
}

fn ranges(text: &Bytes) -> Result<Vec<Range<usize>>> {
    let mut items = JsonItems::at(PATH)?;
    items.feed(text.clone());
    items.end();
    let mut ranges = vec![];
    while let Some(item) = items.next_bytes()? {
        let start = item.as_ptr().addr() - text.as_ptr().addr();
        ranges.push(start..start + item.len());
    }
    Ok(ranges)
}

/// CPU time so far, user and system: on a busy machine it is steadier than the time of day.
fn cpu() -> Result<Duration> {
    let schedstat = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = schedstat.split(' ').next().ok_or("/proc/self/schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

fn memory_peak_kib() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
