//! The machine, as far as it explains the numbers.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    thread,
    time::Duration,
};

use bowline_model::{Clock, SystemClock};

use crate::Result;

/// Writes with which the disk's sync is timed.
const SYNCS: usize = 100;
const SYNC_BYTES: usize = 4096;

/// One paragraph about the machine and the disk that holds `data_dir`.
///
/// # Errors
/// If the folder cannot be written to.
pub(crate) fn describe(data_dir: &Path) -> Result<String> {
    let cores = thread::available_parallelism()?;
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("unknown").to_owned();
    let sync = sync_p50(data_dir)?;
    Ok(format!(
        "{cores} cores of {}, {}, {}; a synced write of 4 KiB takes {:.2} ms. Load average before: {load}.",
        cpu_model(),
        kernel(),
        disk(data_dir)?,
        sync.as_secs_f64() * 1000.0,
    ))
}

fn cpu_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or("an unknown CPU", |(_, model)| model).to_owned()
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Linux {}", release.trim())
}

/// File system and device of the folder: of the mount with the longest path above it, the last one if there are two.
fn disk(dir: &Path) -> Result<String> {
    let dir = dir.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mount = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            Some((fields.next()?, fields.next()?, fields.next()?))
        })
        .filter(|(_, point, _)| dir.starts_with(point))
        .max_by_key(|(_, point, _)| point.len());
    let (device, _, kind) = mount.unwrap_or(("an unknown device", "", "an unknown file system"));
    let caution =
        if matches!(kind, "tmpfs" | "ramfs") { " (in memory: durability is free here)" } else { "" };
    Ok(format!("{kind} on {device}{caution}"))
}

/// The median time that one appended block takes to the disk.
fn sync_p50(dir: &Path) -> Result<Duration> {
    let mut file: File = tempfile::tempfile_in(dir)?;
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let began_at = SystemClock.monotonic();
        file.write_all(&[0x5a; SYNC_BYTES])?;
        file.sync_data()?;
        took.push(SystemClock.monotonic() - began_at);
    }
    took.sort_unstable();
    Ok(took[SYNCS / 2])
}
