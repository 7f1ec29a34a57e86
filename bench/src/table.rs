//! The table: medians of all rounds, ratios of each round's own neighbours.

use std::fmt::Write;

use bowline_model::{Clock, SystemClock};

use crate::{args::Args, contender::Contender, events, round::Measured, run::Round};

const MIB: f64 = 1024.0 * 1024.0;

/// A column: its head, what it shows of a measurement, and with how many digits.
type Column = (&'static str, fn(&Measured) -> f64, usize);

const COLUMNS: [Column; 6] = [
    ("accepted/s", |m| m.accepted_per_s, 0),
    ("completed/s", |m| m.completed_per_s, 0),
    ("ack p50 ms", |m| m.ack_p50.as_secs_f64() * 1e3, 2),
    ("ack p99 ms", |m| m.ack_p99.as_secs_f64() * 1e3, 2),
    ("CPU µs per run", |m| m.cpu_per_run.as_secs_f64() * 1e6, 0),
    ("peak MiB", |m| bytes_to_f64(m.memory_peak_bytes) / MIB, 0),
];

/// The whole report, in Markdown.
pub(crate) fn report(args: &Args, machine: &str, rounds: &[Round]) -> String {
    let mut out = String::new();
    write_report(&mut out, args, machine, rounds).expect("a string takes all that is written");
    out
}

fn write_report(out: &mut String, args: &Args, machine: &str, rounds: &[Round]) -> std::fmt::Result {
    let today = SystemClock.now().strftime("%Y-%m-%d %H:%M UTC");
    writeln!(out, "\n## {today}\n\n{machine}")?;
    writeln!(
        out,
        "{} events of {} bytes over {} connections, {} rounds; the CRM takes {} ms; Bowline logs at `{}`.\n",
        args.events(),
        events::body_bytes(),
        args.connections,
        args.rounds(),
        args.crm_latency().as_millis(),
        args.bowline_log_level,
    )?;
    write_row(out, "median", COLUMNS.map(|(head, ..)| head.to_owned()))?;
    write_row(out, "---", COLUMNS.map(|_| "---:".to_owned()))?;
    for (place, contender) in Contender::ALL.into_iter().enumerate() {
        let cells = COLUMNS.map(|(_, value, digits)| {
            format!("{:.digits$}", median(rounds.iter().map(|round| value(&round[place]))))
        });
        write_row(out, contender.name(), cells)?;
    }
    for floor in [Contender::Durable, Contender::Bare] {
        let cells = COLUMNS.map(|(_, value, _)| format!("**{:.2}**", ratio(rounds, floor, value)));
        write_row(out, &format!("**Bowline ÷ {}**", floor.name()), cells)?;
    }
    writeln!(out)?;
    for (place, contender) in Contender::ALL.into_iter().enumerate() {
        let of = |value: fn(&Measured) -> f64| rounds.iter().map(move |round| value(&round[place]));
        let (lowest, highest) = of(|m| m.completed_per_s)
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        let repeats: usize = rounds.iter().map(|round| round[place].repeats).sum();
        let bench = median(of(|m| m.cpu_of_bench_per_run.as_secs_f64() * 1e6));
        let others = median(of(|m| m.cores_of_others));
        writeln!(
            out,
            "- {}: {lowest:.0} to {highest:.0} completed/s, {repeats} repeated calls; load and CRM took {bench:.0} µs of \
             CPU per event; other programs kept {others:.2} cores busy",
            contender.name(),
        )?;
    }
    Ok(())
}

fn write_row(out: &mut String, name: &str, cells: [String; COLUMNS.len()]) -> std::fmt::Result {
    writeln!(out, "| {name} | {} |", cells.join(" | "))
}

/// The median of what each round says, whose two measurements stood side by side.
fn ratio(rounds: &[Round], floor: Contender, value: fn(&Measured) -> f64) -> f64 {
    let of = |round: &Round, contender| {
        let place = Contender::ALL.iter().position(|one| *one == contender).expect("all are in ALL");
        value(&round[place])
    };
    median(rounds.iter().map(|round| of(round, Contender::Bowline) / of(round, floor)))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    if values.len() % 2 == 1 { values[upper] } else { f64::midpoint(values[upper - 1], values[upper]) }
}

#[allow(clippy::cast_precision_loss, reason = "memory is far below 2^52 bytes")]
fn bytes_to_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_middle_or_between_the_two_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
    }
}
