//! What does it cost to read the items of a large document while it arrives?
//!
//! What comes in: nothing. What goes out: one table. What must never happen here: a contender that reads less than
//! the others, or memory of the bench counted as a contender's. So each is a process of its own that reads the same
//! file, counts its items, and adds up their numbers.
//!
//!     BOWLINE_PYTHON="$(scripts/python)" cargo bench -p bowline-client --bench json_stream
//!     ... -- --megabytes 1024 --rounds 3

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command's result is told on the terminal")]
#![allow(missing_docs, reason = "a program, not a library")]

mod contenders;
mod document;
mod server;

use std::{env, error::Error, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use contenders::Measured;

type Result<T = (), E = Box<dyn Error>> = std::result::Result<T, E>;

const MEGABYTES: usize = 50;
const ROUNDS: usize = 7;
const PYTHON: &str = include_str!("contender.py");

/// What is measured, in the table's order.
const CONTENDERS: [(&str, &str); 9] = [
    ("serde_json per item, split before, into a struct", "split-struct"),
    ("the same, known to be UTF-8 before, into a struct", "split-text-struct"),
    ("stream, chunks from memory, into a struct", "memory-struct"),
    ("stream, chunks from a file, into a struct", "file-struct"),
    ("stream, over HTTP on loopback, into a struct", "http-struct"),
    ("serde_json per item, split before, into a Value", "split-value"),
    ("stream, chunks from a file, into a Value", "file-value"),
    ("stream, chunks from a file, bytes only", "file-bytes"),
    ("ijson (C), from a file, into a dict", "ijson"),
];
const SPLIT_STRUCT: usize = 0;
const FILE_STRUCT: usize = 3;
const SPLIT_VALUE: usize = 5;
const FILE_VALUE: usize = 6;
const IJSON: usize = 8;

fn main() -> Result {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let [role, path] = args[..]
        && CONTENDERS.iter().any(|(_, name)| *name == role)
    {
        print!("{}", contenders::run(role, Path::new(path))?);
        return Ok(());
    }
    let option = |name: &str, default: usize| -> Result<usize> {
        let place = args.iter().position(|arg| *arg == name);
        Ok(place.map(|place| args.get(place + 1).unwrap_or(&"").parse()).transpose()?.unwrap_or(default))
    };
    compare(option("--megabytes", MEGABYTES)?, option("--rounds", ROUNDS)?)
}

fn compare(megabytes: usize, rounds: usize) -> Result {
    let path = env::temp_dir().join(format!("json_stream-{}.json", std::process::id()));
    let items = document::write(&path, megabytes * 1_000_000)?;
    println!(
        "{items} items in {megabytes} MB, {rounds} rounds, chunks of {} KiB\n",
        contenders::CHUNK_BYTES / 1024
    );
    let address = server::serve(&path)?;
    let measured = rounds_of(&path, address, rounds);
    fs::remove_file(&path)?;
    print_table(megabytes, &measured?);
    Ok(())
}

/// Interleaved; each round begins with another contender.
fn rounds_of(
    path: &Path,
    address: SocketAddr,
    rounds: usize,
) -> Result<Vec<[Option<Measured>; CONTENDERS.len()]>> {
    let mut all = vec![];
    for round in 0..rounds {
        let mut row = [None; CONTENDERS.len()];
        for turn in 0..CONTENDERS.len() {
            let which = (round + turn) % CONTENDERS.len();
            row[which] = measure(CONTENDERS[which].1, path, address)?;
        }
        let sums: Vec<_> = row.iter().flatten().filter_map(|measured| measured.sum).collect();
        if sums.windows(2).any(|pair| pair[0] != pair[1]) {
            return Err(format!("the contenders read different items: {row:?}").into());
        }
        all.push(row);
    }
    Ok(all)
}

/// `None`: there is no Python with ijson.
fn measure(role: &str, path: &Path, address: SocketAddr) -> Result<Option<Measured>> {
    let output = if role == "ijson" {
        let Some(python) = env::var_os("BOWLINE_PYTHON") else { return Ok(None) };
        Command::new(python).args(["-c", PYTHON]).arg(path).output()?
    } else {
        let address = format!("http://{address}");
        Command::new(env::current_exe()?)
            .args([role.as_ref(), path.as_os_str()])
            .env(contenders::ADDRESS_VARIABLE, address)
            .output()?
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let [sum, micros, kib] = said.split_whitespace().collect::<Vec<_>>()[..] else {
        return Err(format!("{role} failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    };
    let took = Duration::from_micros(micros.parse()?);
    Ok(Some(Measured { sum: sum.parse().ok(), took, peak_kib: kib.parse()? }))
}

fn print_table(megabytes: usize, rounds: &[[Option<Measured>; CONTENDERS.len()]]) {
    println!("| median | CPU ms | MB/s | peak MiB | ÷ serde_json per item |");
    println!("| --- | ---: | ---: | ---: | ---: |");
    for (which, (name, role)) in CONTENDERS.iter().enumerate() {
        let column: Vec<Measured> = rounds.iter().filter_map(|row| row[which]).collect();
        if column.is_empty() {
            println!("| {name} | not measured: set BOWLINE_PYTHON to a Python with ijson | | | |");
            continue;
        }
        // Neighbours in time share the machine's mood: the ratios of rounds, not of medians.
        let base = if role.ends_with("struct") { SPLIT_STRUCT } else { SPLIT_VALUE };
        let ratios = rounds.iter().filter_map(|row| Some(row[which]?.seconds() / row[base]?.seconds()));
        let seconds = median(column.iter().map(|measured| measured.seconds()));
        println!(
            "| {name} | {:.0} | {:.0} | {:.1} | {:.2} |",
            seconds * 1000.0,
            f64::from(u32::try_from(megabytes).unwrap_or(u32::MAX)) / seconds,
            median(column.iter().map(|measured| f64::from(measured.peak_kib) / 1024.0)),
            median(ratios),
        );
    }
    let faster = |which: usize| {
        median(rounds.iter().filter_map(|row| Some(row[IJSON]?.seconds() / row[which]?.seconds())))
    };
    if rounds.iter().any(|row| row[IJSON].is_some()) {
        println!(
            "\nijson takes {:.1} times as long as the stream from a file into a struct, {:.1} into a Value.",
            faster(FILE_STRUCT),
            faster(FILE_VALUE)
        );
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
