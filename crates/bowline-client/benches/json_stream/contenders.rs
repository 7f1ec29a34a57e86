//! Each contender, in a process of its own.

use std::{fs, fs::File, io::Read, ops::Range, path::Path, thread, time::Duration};

use bowline_client::{
    Api,
    stream::{JsonItems, Split},
};
use bytes::{Bytes, BytesMut};
use bytes_utils::Str;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Result, document::Order};

/// As much as a socket yields at once.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
const PATH: &str = "data.items";
/// Where the document is to be had over HTTP.
pub(crate) const ADDRESS_VARIABLE: &str = "BENCH_ADDRESS";

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
        "http-struct" => stream_over_http(order)?,
        "file-struct" => stream(path, |items| Ok(items.next_item()?.map(order)))?,
        "file-value" => stream(path, |items| Ok(items.next_item()?.map(value)))?,
        "file-bytes" => stream(path, |items| Ok(items.next_bytes()?.map(|_| 0)))?,
        "split-struct" => split_before(path, |text, item| read_bytes(text, item).map(order))?,
        "split-text-struct" => split_before(path, |text, item| serde_json::from_str(&text[item]).map(order))?,
        "split-value" => split_before(path, |text, item| read_bytes(text, item).map(value))?,
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
    // Two in turn, as the last one is held until the next one is begun: their memory is used again and not cleared, as a
    // socket's reader does it.
    let mut buffers = [Bytes::new(), Bytes::new()];
    loop {
        let [buffer, next_buffer] = buffers;
        let mut buffer = buffer.try_into_mut().unwrap_or_default();
        if buffer.is_empty() {
            buffer = BytesMut::zeroed(CHUNK_BYTES);
        }
        let read = file.read(&mut buffer)?;
        let buffer = buffer.freeze();
        if read == 0 {
            items.end();
        } else {
            items.feed(buffer.slice(..read));
        }
        buffers = [next_buffer, buffer];
        while let Some(id) = next(&mut items)? {
            sum += id;
        }
        if read == 0 {
            return Ok((sum, cpu()? - began));
        }
    }
}

/// As a program does it: asked for, decoded if it is encoded, read as it arrives. The server is another process.
fn stream_over_http(id: impl Fn(Order) -> u64) -> Result<(u64, Duration)> {
    let address = std::env::var(ADDRESS_VARIABLE)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let remote = Api::new("bench").base_url(&address);
    runtime.block_on(async {
        let began = cpu()?;
        let failed = |error: bowline_model::Error| error.to_string();
        let mut orders = remote.get("/").stream_json::<Order>(PATH).await.map_err(failed)?;
        let mut sum = 0;
        while let Some(order) = orders.next().await {
            sum += id(order.map_err(failed)?);
        }
        Ok((sum, cpu()? - began))
    })
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

/// The document is in memory, is known to be text, and every item's place is known before the clock starts.
fn split_before(
    path: &Path,
    read: impl Fn(&Str, Range<usize>) -> serde_json::Result<u64>,
) -> Result<(u64, Duration)> {
    let text = Str::from_inner(fs::read(path)?.into())?;
    let ranges = ranges(text.inner())?;
    let began = cpu()?;
    let mut sum = 0;
    for range in ranges {
        sum += read(&text, range)?;
    }
    Ok((sum, cpu()? - began))
}

fn read_bytes<T: DeserializeOwned>(text: &Str, item: Range<usize>) -> serde_json::Result<T> {
    serde_json::from_slice(&text.inner()[item])
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
    // The kernel adds up a thread's time when it gives way, and else only every few milliseconds.
    thread::yield_now();
    let schedstat = fs::read_to_string("/proc/self/schedstat")?;
    let nanos = schedstat.split(' ').next().ok_or("/proc/self/schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

fn memory_peak_kib() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}
