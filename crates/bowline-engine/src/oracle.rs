//! The oracle of the delivery rule: random programs with loops, undos and all else, that live through random crashes,
//! operators' retries and cancels, and are recovered from moments after their commits, against a world that remembers what
//! was sent.
//!
//! | Module | Story |
//! |---|---|
//! | `program`, `interpreter` | what an author could write, and what runs it |
//! | `world`, `remote` | time, attempts under way; what the remote was sent, made and undid |
//! | `office`, `row` | messages, children and counters of the store; the run's row and who operates on it |
//! | `disk`, `seen`, `looped` | what is on disk, and what it is held to |
//! | `sim`, `commits` | lives, one after the other; what they write, and moments to begin again from |
//!
//! What it holds against the machine, in every life of every program:
//!
//! 1. The code of each loop's item, and that around loops, observes exactly its delivered entries, in the journal's order; a
//!    later life observes what is on disk first, and the same. So no wrong outcome is delivered, and `join` and `select`
//!    take the same way again. (After an operator's retry: all that the retry did not take back.)
//! 2. Nothing is sent for a step whose outcome is on disk, be it compacted since, or of which a person said that it did not
//!    happen.
//! 3. Nothing is sent while something that the code has observed is not on disk.
//! 4. A step's attempts carry one idempotency key, over all lives; an operator's retry of a refusal gives the next.
//! 5. Whatever was sent, the journal told of it: by an outcome, or by a note that it may have happened. What may have
//!    happened it still tells in the end.
//! 6. A message is delivered to one wait, once; a wait ends by its time only where no message was there; a child is
//!    started once; a counter counts each of its entries.
//! 7. A run that rests can be woken, by a time or a message; a cancelled one names what was under way and sends nothing.
//! 8. A loop goes over all its items, no more of them side by side than its limit, leaves as many dead as its policy lets
//!    it, counts them right, and leaves no entries of those that are done.
//! 9. A run that is undone goes nowhere else. Before the first undo it is known of every step whether it happened; then all
//!    that happened is undone, newest first, each under one key, and nothing else is. Of other runs nothing is undone.
//! 10. What a remote without keys was asked to do is sent only when the disk says that it begins, and again only when each
//!     attempt before is known not to have happened: it was refused, a `recheck` found nothing, or a person looked.
//! 11. The run ends, with the output that a life without any effect computes from the whole journal.
//!
//! `BOWLINE_ORACLE_PROGRAMS=10000 cargo test -p bowline-engine oracle -- --nocapture` tries ten thousand; a failure
//! names its seed, and `BOWLINE_ORACLE_SEED=n` tries that one alone, and tells all that is written.

mod commits;
mod disk;
mod interpreter;
mod looped;
mod office;
mod program;
mod remote;
mod row;
mod seen;
mod sim;
mod world;

use std::{
    cell::Cell,
    panic,
    sync::{Arc, Once},
};

use rand::{SeedableRng, rngs::StdRng};

use self::{commits::SNAPSHOTS_MAX, program::Program, sim::Sim};

/// Programs tried where the environment does not say.
const PROGRAMS: u64 = 1000;
/// Programs that found something once, beyond those: what is in flight beside a loop's end, keys that pages repeat, items
/// that come again, what a person said of a step that the code let go of.
const FOUND: [u64; 9] = [1034, 2933, 3905, 4545, 4633, 6302, 9324, 17319, 18087];

/// One program in so many has steps whose remote knows no keys: the others stay what they were.
const DOUBTS_EACH: u64 = 4;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

thread_local! {
    /// How many panics there were on this thread. A check that fails in the program's code panics there, and the machine takes
    /// that for the program's own: which has none.
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

fn count_panics() {
    static COUNTED: Once = Once::new();
    COUNTED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            PANICS.set(PANICS.get() + 1);
            before(panicked);
        }));
    });
}

/// One program: its lives with crashes, then lives from moments after its commits.
fn check(seed: u64) {
    count_panics();
    let panics = PANICS.get();
    let doubts = seed.wrapping_add(1).is_multiple_of(DOUBTS_EACH).then(|| StdRng::seed_from_u64(!seed));
    let program = Arc::new(Program::random(&mut StdRng::seed_from_u64(seed), doubts));
    let mut sim = Sim::new(&program, seed);
    sim.live_until_end();
    let snapshots = std::mem::take(&mut sim.snapshots);
    sim.replay_without_effects();
    for (nth, snapshot) in (1..).zip(snapshots) {
        let mut sim = Sim::at(&program, seed ^ nth << 40, snapshot);
        sim.die();
        sim.live_until_end();
    }
    assert_eq!(PANICS.get(), panics, "a check failed in the program's code");
}

#[test]
fn random_programs_recover_after_their_commits_and_from_random_crashes() {
    if let Some(seed) = variable("BOWLINE_ORACLE_SEED") {
        return check(seed);
    }
    let programs = variable("BOWLINE_ORACLE_PROGRAMS").unwrap_or(PROGRAMS);
    let threads = std::thread::available_parallelism().map_or(2, |threads| threads.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let found = FOUND.into_iter().filter(|seed| *seed >= programs && seed % threads == thread);
                for seed in (thread..programs).step_by(threads as usize).chain(found) {
                    let checked = panic::catch_unwind(|| check(seed));
                    assert!(
                        checked.is_ok(),
                        "the program of seed {seed} fails: BOWLINE_ORACLE_SEED={seed} repeats it"
                    );
                }
            });
        }
    });
    println!("{programs} programs, each recovered from up to {SNAPSHOTS_MAX} moments after its commits");
}
