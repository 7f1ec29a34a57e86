//! Runs that share a key, in their order: with attempts that fail, a key that a dead letter blocks, and a process that is
//! killed while it works.
//!
//! What comes in: how many runs and keys, and how often it is killed. What goes out: a table, and a failure if one run
//! went beside or before another of its key, if one is missing, or if the blocked key held up another. The app is a
//! process of its own; all that it does is a line in a file, in the order in which it was done.

pub(crate) mod app;

use std::{fmt::Write as _, fs::OpenOptions, io::Write as _, path::Path, process::Command, time::Duration};

use bowline_model::{Clock, SystemClock};

use crate::{
    Result,
    args::{Args, KeysArgs},
    machine, run,
};

/// What the app did, a line each: `B key n` when a run began to work, `F` when an attempt failed, `E` when it was done.
const LOG: &str = "done.log";
/// How often it is looked whether it is time for the next kill.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The key of which the first run fails for good.
const BLOCKED_KEY: usize = 0;

/// What the log shows.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    began: usize,
    failed: usize,
    ended: usize,
    /// Lines of a run after lines of a later one of its key.
    out_of_order: usize,
    /// Runs that never ended, of keys that nothing blocks.
    missing: usize,
    /// Runs of the blocked key that worked, beyond its first.
    past_the_dead: usize,
}

/// Measures, and prints a table.
///
/// # Errors
/// If the app does not end, or the order of a key was not kept.
pub(crate) fn run(args: &Args, keys: &KeysArgs) -> Result {
    let data_dir = run::data_dir(args)?;
    let machine = machine::describe(&data_dir)?;
    let dir = tempfile::Builder::new().prefix("bench-keys-").tempdir_in(&data_dir)?;
    let began_at = SystemClock.monotonic();
    let kills = drive(keys, dir.path())?;
    let took = SystemClock.monotonic() - began_at;
    let found = read(&std::fs::read_to_string(dir.path().join(LOG))?, keys.runs / keys.keys, keys.keys)?;
    let report = report(keys, &machine, &found, kills, took);
    std::io::stdout().write_all(report.as_bytes())?;
    if args.write {
        OpenOptions::new().create(true).append(true).open(run::RESULTS)?.write_all(report.as_bytes())?;
    }
    if found.out_of_order + found.missing + found.past_the_dead > 0 || kills < keys.kills {
        return Err(format!("the order of a key was not kept, or it was killed too seldom: {found:?}").into());
    }
    Ok(())
}

/// Runs the app until it has done all, killed so often on the way. How often it was killed.
fn drive(keys: &KeysArgs, dir: &Path) -> Result<usize> {
    let mut kills = 0;
    loop {
        let mut app = Command::new(std::env::current_exe()?)
            .arg("keys-app")
            .args(["--runs", &keys.runs.to_string(), "--keys", &keys.keys.to_string()])
            .args(["--seed", &keys.seed.to_string()])
            .env("DIR", dir)
            .spawn()?;
        // Spread over the work, and off the round numbers by the seed.
        let lines = 2 * keys.runs * (kills + 1) / (keys.kills + 1);
        let next_kill = lines.saturating_sub(usize::try_from(keys.seed % 13)?);
        let is_killed = loop {
            if let Some(status) = app.try_wait()? {
                if status.success() {
                    break false;
                }
                return Err(format!("the app ended with {status}").into());
            }
            if kills < keys.kills && lines_in(dir) >= next_kill {
                // SIGKILL: nothing of it is asked whether it is ready.
                app.kill()?;
                app.wait()?;
                break true;
            }
            pause(LOOK_EVERY)?;
        };
        if !is_killed {
            return Ok(kills);
        }
        kills += 1;
    }
}

fn pause(wait: Duration) -> Result {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async { SystemClock.sleep(wait).await });
    Ok(())
}

fn lines_in(dir: &Path) -> usize {
    // A line has about ten bytes; nothing hangs on it.
    const LINE_BYTES: usize = 10;
    let bytes = std::fs::metadata(dir.join(LOG)).map_or(0, |log| log.len());
    usize::try_from(bytes).unwrap_or(0) / LINE_BYTES
}

/// Follows each key through the log.
fn read(log: &str, per_key: usize, keys: usize) -> Result<Found> {
    let mut found = Found::default();
    let mut newest = vec![0; keys];
    let mut ended = vec![0; keys];
    // The last line may be cut by a kill; those before are whole, for each is one write.
    for line in log.lines() {
        let mut parts = line.split(' ');
        let (Some(what), Some(Ok(key)), Some(Ok(n))) =
            (parts.next(), parts.next().map(str::parse::<usize>), parts.next().map(str::parse::<usize>))
        else {
            return Err(format!("the log has a line {line:?}").into());
        };
        if n < newest[key] {
            found.out_of_order += 1;
        }
        newest[key] = newest[key].max(n);
        match what {
            "B" => found.began += 1,
            "F" => found.failed += 1,
            _ => {
                found.ended += 1;
                // One that follows on another that never ended went past it.
                found.out_of_order += usize::from(n > ended[key] + 1);
                ended[key] = ended[key].max(n);
            }
        }
        found.past_the_dead += usize::from(key == BLOCKED_KEY && n > 1);
    }
    let unblocked = (0..keys).filter(|key| *key != BLOCKED_KEY);
    found.missing = unblocked.map(|key| per_key - ended[key].min(per_key)).sum();
    Ok(found)
}

fn report(keys: &KeysArgs, machine: &str, found: &Found, kills: usize, took: Duration) -> String {
    let mut out = String::new();
    write_report(&mut out, keys, machine, found, kills, took).expect("a string takes all that is written");
    out
}

fn write_report(
    out: &mut String,
    keys: &KeysArgs,
    machine: &str,
    found: &Found,
    kills: usize,
    took: Duration,
) -> std::fmt::Result {
    let today = SystemClock.now().strftime("%Y-%m-%d %H:%M UTC");
    #[allow(clippy::cast_precision_loss, reason = "a number for people")]
    let per_s = found.ended as f64 / took.as_secs_f64();
    writeln!(out, "\n## {today}: order per key\n\n{machine}")?;
    writeln!(
        out,
        "{} runs over {} keys, two steps each, one attempt in ten fails (seed {}), the first run of one key for good, which \
         blocks that key; the process is killed (SIGKILL) {kills} times on the way.\n",
        keys.runs, keys.keys, keys.seed,
    )?;
    writeln!(out, "| | |\n| --- | ---: |")?;
    writeln!(out, "| took, s, starts and kills included | {:.1} |", took.as_secs_f64())?;
    writeln!(out, "| runs/s | {per_s:.0} |")?;
    writeln!(out, "| first steps, with those again after a kill | {} |", found.began)?;
    writeln!(out, "| failed attempts | {} |", found.failed)?;
    writeln!(out, "| out of order within a key | {} |", found.out_of_order)?;
    writeln!(out, "| runs missing of keys that nothing blocks | {} |", found.missing)?;
    writeln!(out, "| runs of the blocked key past its dead letter | {} |", found.past_the_dead)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_order_from_disorder() {
        let well = "B 0 1\nB 1 1\nF 1 1\nB 1 1\nE 1 1\nB 1 2\nE 1 2\nE 1 2\n";
        let found = read(well, 2, 2).unwrap();
        assert_eq!((found.out_of_order, found.missing, found.past_the_dead, found.failed), (0, 0, 0, 1));
        let beside = "B 1 1\nB 1 2\nE 1 1\nE 1 2\n";
        assert_eq!(read(beside, 2, 2).unwrap().out_of_order, 1);
        let skipped = "B 1 1\nB 1 2\nE 1 2\n";
        assert_eq!(read(skipped, 2, 2).unwrap().out_of_order, 1);
        assert_eq!(read("B 1 1\nE 1 1\n", 2, 2).unwrap().missing, 1);
        assert_eq!(read("B 0 1\nB 0 2\n", 0, 2).unwrap().past_the_dead, 1);
    }
}
