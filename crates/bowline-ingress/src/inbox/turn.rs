//! The loop of one inbox: look, take, and move what has ended.

use std::{collections::BTreeMap, panic::resume_unwind, time::Duration};

use bowline_model::{BoxFuture, Run, RunId, RunState};
use bowline_store::{Accepted, StoreError, StoreErrorKind};
use futures_util::{FutureExt, StreamExt, stream::FuturesUnordered};
use sha2::{Digest, Sha256};
use tokio::{sync::watch, task::spawn_blocking};

use super::{
    InboxFile, InboxSpec, KNOWN_FOR, TAKEN_MAX,
    look::{Looked, Seen, look, readable},
    shelf::{self, Moved, Shelf},
    steady::Steady,
};
use crate::{Intake, TriggerKind, VerifiedEvent, trigger::TriggerLine};

/// Events that one transaction accepts.
const ACCEPTED_AT_ONCE: usize = 200;
/// Files that are moved between two looks at the folders on disk.
const MOVED_AT_ONCE: usize = 256;
/// How often dead letters are asked whether an operator has dealt with them.
const DEAD_EVERY: Duration = Duration::from_secs(10);

/// A file's run.
struct Taken {
    id: String,
    run: RunId,
    stands: Stands,
}

/// Where a file's run stands, as far as this process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// Its end is waited for.
    Open,
    /// Nobody waits for its end yet, or any more.
    Unknown,
    /// A dead letter: the file stays until an operator has dealt with it.
    Dead,
    /// It has ended: the file is to be moved.
    Ended(Shelf),
    /// It ended so long ago that nobody knows how: the file stays.
    Forgotten,
}

type End = (Seen, Result<Run, StoreError>);

struct Inbox {
    spec: InboxSpec,
    intake: Intake,
    steady: Steady,
    taken: BTreeMap<Seen, Taken>,
    ends: FuturesUnordered<BoxFuture<'static, End>>,
    /// When dead letters were last asked about, by the monotonic clock.
    dead_asked: Duration,
}

/// Looks again and again, until the app stops.
///
/// # Durability
/// A file is known by its name, length, time and inode: a process that died after it took the file and one that follows
/// find the same run. A file whose run has ended and that was not moved yet is moved by the next process.
pub async fn run(spec: InboxSpec, intake: Intake, line: TriggerLine, mut stopped: watch::Receiver<bool>) {
    let clock = intake.clock().clone();
    let every = spec.every;
    let mut inbox = Inbox {
        dead_asked: clock.monotonic(),
        spec,
        intake,
        steady: Steady::default(),
        taken: BTreeMap::new(),
        ends: FuturesUnordered::new(),
    };
    let mut told = None;
    let mut next = clock.now().checked_add(every).unwrap_or(jiff::Timestamp::MAX);
    loop {
        line.next(Some(next));
        let woken = tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            Some(end) = inbox.ends.next() => Some(end),
            () = clock.sleep_until(next) => None,
        };
        let _busy = line.at_work();
        if let Some(end) = woken {
            inbox.note_ends(end);
            // What cannot be moved is told by the next look, which tries again.
            inbox.move_ended(&mut vec![]).await;
            continue;
        }
        let mut problems = vec![];
        let started = inbox.look(&mut problems).await;
        if started > 0 || problems.is_empty() {
            line.acted(clock.now(), started, 0);
        }
        told = tell(&inbox.spec, &line, clock.now(), problems, told);
        next = clock.now().checked_add(every).unwrap_or(jiff::Timestamp::MAX);
    }
}

/// Shows what is wrong at every look, and logs it when it changes.
fn tell(
    spec: &InboxSpec,
    line: &TriggerLine,
    now: jiff::Timestamp,
    problems: Vec<String>,
    told: Option<String>,
) -> Option<String> {
    let more = problems.len().saturating_sub(1);
    let first = problems.into_iter().next()?;
    let problem = if more == 0 { first } else { format!("{first} (and {more} more)") };
    line.failed(now, &problem);
    if told.as_ref() != Some(&problem) {
        tracing::warn!(inbox = spec.name, problem, "an inbox has a problem");
    }
    Some(problem)
}

impl Inbox {
    /// Takes what is new and steady, and moves what has ended; yields how many runs it started.
    async fn look(&mut self, problems: &mut Vec<String>) -> u64 {
        let spec = self.spec.clone();
        let looked = blocking(move || look(&spec)).await;
        problems.extend(looked.problems);
        self.forget_gone(&looked.files);
        let fresh = looked.files.into_iter().filter(|file| !self.taken.contains_key(file)).collect();
        let now = self.intake.clock().monotonic();
        let mut steady = self.steady.look(fresh, now, self.spec.stable_for);
        steady.truncate(TAKEN_MAX);
        let started = self.take(steady, problems).await;
        self.ask_about_open(now, problems).await;
        self.move_ended(problems).await;
        started
    }

    /// Nothing is to be done any more about files that somebody else moved. Runs that go on are waited for all the same.
    fn forget_gone(&mut self, seen: &[Seen]) {
        let seen: std::collections::BTreeSet<&Seen> = seen.iter().collect();
        self.taken.retain(|file, taken| match taken.stands {
            Stands::Dead | Stands::Forgotten => seen.contains(file),
            Stands::Open | Stands::Unknown | Stands::Ended(_) => true,
        });
    }

    async fn take(&mut self, steady: Vec<Seen>, problems: &mut Vec<String>) -> u64 {
        if steady.is_empty() {
            return 0;
        }
        let folder = self.spec.folder.clone();
        let Looked { files, problems: unreadable } = blocking(move || readable(&folder, steady)).await;
        problems.extend(unreadable);
        let mut started = 0;
        for files in files.chunks(ACCEPTED_AT_ONCE) {
            match self.accept(files).await {
                Ok(new) => started += new,
                Err(problem) => {
                    problems.push(problem);
                    break;
                }
            }
        }
        started
    }

    /// Puts the files' events on disk; one that is there already has its run.
    async fn accept(&mut self, files: &[Seen]) -> Result<u64, String> {
        let events = files.iter().map(|file| Ok((self.event(file)?, vec![self.spec.workflow.clone()])));
        let events = events.collect::<Result<Vec<_>, String>>()?;
        let receipts = self.intake.accept_all(events, None).await.map_err(|error| error.to_string())?;
        let mut started = 0;
        for (file, receipt) in files.iter().zip(receipts) {
            let (is_new, runs) = match receipt.accepted {
                Accepted::New { runs, .. } => (true, runs),
                Accepted::Duplicate { runs, .. } => (false, runs),
            };
            let run = *runs.first().expect("an inbox's event starts one run");
            started += u64::from(is_new);
            self.taken.insert(file.clone(), Taken { id: receipt.id, run, stands: Stands::Unknown });
            self.wait_for_end(file);
        }
        Ok(started)
    }

    fn event(&self, file: &Seen) -> Result<VerifiedEvent, String> {
        let path = std::path::absolute(self.spec.folder.join(&file.name));
        let path = path.map_err(|error| format!("the working folder cannot be read: {error}"))?;
        let input = InboxFile {
            name: file.name.clone(),
            path,
            bytes: file.stamp.bytes,
            modified: file.stamp.modified,
        };
        let body = serde_json::to_vec(&input).map_err(|error| format!("{}: {error}", file.name))?;
        let (source, now) = (TriggerKind::Inbox.source(&self.spec.name), self.intake.clock().now());
        VerifiedEvent::from_program(source, &self.spec.name, Some(id(file)), body.into(), now, KNOWN_FOR)
            .map_err(|rejection| rejection.to_string())
    }

    fn wait_for_end(&mut self, file: &Seen) {
        let Some(taken) = self.taken.get_mut(file) else { return };
        taken.stands = Stands::Open;
        let (store, run, file) = (self.intake.store().clone(), taken.run, file.clone());
        self.ends.push(Box::pin(async move {
            let end = store.ended(run).await;
            (file, end)
        }));
    }

    /// That one, and what else has ended by now.
    fn note_ends(&mut self, end: End) {
        let mut end = Some(end);
        let mut room = MOVED_AT_ONCE;
        while let Some((file, run)) = end {
            self.note(&file, run.map(Some));
            room -= 1;
            end = if room == 0 { None } else { self.ends.next().now_or_never().flatten() };
        }
    }

    /// What the store says of a file's run.
    fn note(&mut self, file: &Seen, run: Result<Option<Run>, StoreError>) {
        let Some(taken) = self.taken.get_mut(file) else { return };
        taken.stands = match run {
            Ok(Some(run)) => match run.state {
                RunState::Completed => Stands::Ended(Shelf::Done),
                RunState::Cancelled => Stands::Ended(Shelf::Failed),
                RunState::DeadLettered => Stands::Dead,
                RunState::Queued | RunState::Running | RunState::Waiting => Stands::Unknown,
            },
            Ok(None) => Stands::Forgotten,
            Err(error) if error.kind() == StoreErrorKind::NotFound => Stands::Forgotten,
            // Asked again at the next look.
            Err(_) => Stands::Unknown,
        };
    }

    /// Asks about dead letters, now and then, and waits for whose end nobody waits.
    async fn ask_about_open(&mut self, now: Duration, problems: &mut Vec<String>) {
        if now.saturating_sub(self.dead_asked) >= DEAD_EVERY {
            self.dead_asked = now;
            for (file, run) in self.of(Stands::Dead) {
                let run = self.intake.store().run(run).await;
                // A store that does not answer changes nothing of what is known.
                if run.is_ok() {
                    self.note(&file, run);
                }
            }
        }
        for (file, _) in self.of(Stands::Unknown) {
            self.wait_for_end(&file);
        }
        for (file, run) in self.of(Stands::Forgotten) {
            problems.push(format!(
                "{} was taken long ago: how its run {run} ended is not kept any more; move it away by hand, or touch it \
                 to have it taken again",
                self.spec.folder.join(&file.name).display()
            ));
        }
    }

    fn of(&self, stands: Stands) -> Vec<(Seen, RunId)> {
        let those = self.taken.iter().filter(|(_, taken)| taken.stands == stands);
        those.map(|(file, taken)| (file.clone(), taken.run)).collect()
    }

    /// Moves the files whose runs have ended.
    async fn move_ended(&mut self, problems: &mut Vec<String>) {
        let ended = |(file, taken): (&Seen, &Taken)| match taken.stands {
            Stands::Ended(shelf) => Some((file.clone(), taken.id.clone(), shelf)),
            Stands::Open | Stands::Unknown | Stands::Dead | Stands::Forgotten => None,
        };
        let ended: Vec<_> = self.taken.iter().filter_map(ended).collect();
        for files in ended.chunks(MOVED_AT_ONCE) {
            let (folder, files) = (self.spec.folder.clone(), files.to_vec());
            for (file, moved) in blocking(move || move_all(&folder, files)).await {
                match moved {
                    Ok(moved) => {
                        tracing::debug!(
                            inbox = self.spec.name,
                            file = file.name,
                            ?moved,
                            "a file's run has ended"
                        );
                        self.taken.remove(&file);
                    }
                    Err(problem) => problems.push(problem),
                }
            }
        }
    }
}

/// Moves them, and makes that last. Where it cannot be made to last, it may have to be done again.
fn move_all(
    folder: &std::path::Path,
    files: Vec<(Seen, String, Shelf)>,
) -> Vec<(Seen, Result<Moved, String>)> {
    let mut all = vec![];
    for shelf in [Shelf::Done, Shelf::Failed] {
        let files = files.iter().filter(|(_, _, to)| *to == shelf);
        let mut moved: Vec<_> =
            files.map(|(file, id, _)| (file.clone(), shelf::put(folder, file, id, shelf))).collect();
        let any = moved.iter().any(|(_, moved)| matches!(moved, Ok(Moved::To(_))));
        if any && let Err(error) = shelf::sync(folder, shelf) {
            let problem = format!("{} cannot be synced: {error}; it is tried again", folder.display());
            moved.iter_mut().for_each(|(_, moved)| *moved = Err(problem.clone()));
        }
        all.extend(moved);
    }
    all
}

/// What a file is called: 32 hexadecimal digits of name, length, time and inode.
fn id(file: &Seen) -> String {
    let Seen { name, stamp } = file;
    let mut hash = Sha256::new();
    hash.update(name.as_bytes());
    hash.update([0]);
    hash.update(stamp.bytes.to_be_bytes());
    hash.update(stamp.modified.as_nanosecond().to_be_bytes());
    hash.update(stamp.inode.to_be_bytes());
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// On a thread where one may wait for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
