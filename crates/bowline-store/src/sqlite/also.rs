//! What a run's write changes besides its journal and state, and what its end leaves behind.
//!
//! What must never happen here: a refusal after the first change.

use bowline_model::{RunId, RunState};
use jiff::Timestamp;

use super::{
    child,
    fault::{Fault, refused},
    journal, mail, mailbox,
    row::entry_id,
    transaction::Tx,
};
use crate::{Also, RunWrite, StoreErrorKind, also::ALSO_LEN_MAX};

/// Refuses what cannot be done, before anything is changed.
pub(super) fn check(tx: &Tx<'_>, write: &RunWrite, journal_len: i64) -> Result<(), Fault> {
    let also = &write.also;
    if also.is_empty() {
        return Ok(());
    }
    let Also { compact, opens, consumes, closes, expects_none, abandons, returns, starts, ask } = also;
    let names = closes.len() + expects_none.len() + abandons.len();
    for len in [compact.len(), opens.len(), consumes.len(), returns.len(), names, starts.len()] {
        if len > ALSO_LEN_MAX {
            let message =
                format!("a write of run {} has a list of {len} (limit {ALSO_LEN_MAX}); split it", write.run);
            return Err(refused(StoreErrorKind::Limit, message));
        }
    }
    let len = journal_len + journal::len(&write.entries);
    if let Some(seq) = compact.iter().find(|seq| !(1..=len).contains(&seq.0)) {
        let message = format!("run {}'s journal has no entry {seq} to remove: it has {len}", write.run);
        return Err(refused(StoreErrorKind::Conflict, message));
    }
    if ask.is_some() && write.entries.last().is_none_or(|last| compact.contains(&last.seq)) {
        let message = format!("run {} asks, and brings no entry for the answer", write.run);
        return Err(refused(StoreErrorKind::Conflict, message));
    }
    for new in opens {
        mailbox::check(new)?;
    }
    for start in starts {
        child::check(write, start)?;
    }
    mail::check_unread(tx, write.run, consumes.iter().chain(returns))?;
    mail::check_empty(tx, write.run, closes.iter().chain(expects_none), consumes)
}

/// Changes it; the entries are in the journal. A mailbox that the write both closes and opens is open, but for an address:
/// that is made once. Returns the runs that it started.
pub(super) fn apply(tx: &mut Tx<'_>, write: &RunWrite, home: i64) -> Result<Vec<RunId>, Fault> {
    let (run, now) = (write.run, write.now);
    let Also { compact, opens, consumes, closes, expects_none: _, abandons, returns, starts, ask: _ } =
        &write.also;
    for seq in compact {
        tx.conn
            .prepare_cached(&format!("DELETE FROM entry_{home} WHERE id = ?1"))?
            .execute([entry_id(run, seq.0)])?;
    }
    mail::consume(tx, run, consumes)?;
    mail::give_up(tx, run, returns)?;
    for name in abandons {
        child::abandon(tx, run, name)?;
        mail::abandon(tx, run, name)?;
        mailbox::close(tx, run, name)?;
    }
    for name in closes {
        child::abandon(tx, run, name)?;
        mailbox::close(tx, run, name)?;
    }
    for new in opens {
        mailbox::open(tx, run, new, now)?;
        if new.token.is_some() && abandons.contains(&new.name) {
            mailbox::close(tx, run, &new.name)?;
        }
    }
    starts.iter().filter_map(|start| child::start(tx, run, start, now).transpose()).collect()
}

/// A run is open no more: whoever waits for it learns that, and what it waited for itself goes, unless an operator may
/// let it go on. Every path on which a run ends comes by here, after its row was changed.
pub(super) fn ended(
    tx: &mut Tx<'_>,
    run: RunId,
    state: RunState,
    home: i64,
    now: Timestamp,
) -> Result<(), Fault> {
    child::tell(tx, run, state, home, now)?;
    match state {
        RunState::Completed | RunState::Cancelled => {
            mail::clear(tx, run)?;
            mailbox::clear(tx, run)?;
            child::clear(tx, run)?;
        }
        RunState::DeadLettered | RunState::Queued | RunState::Running | RunState::Waiting => {}
    }
    Ok(())
}

/// Roughly the memory that it holds.
pub(super) fn bytes(also: &Also) -> usize {
    let opens =
        also.opens.iter().map(|new| new.name.len() + new.about.as_ref().map_or(0, |a| a.as_bytes().len()));
    let starts = also.starts.iter().map(|start| start.event.body.len() + start.event.dedupe_key.len());
    let compact = also.compact.len() * size_of::<i64>();
    compact + opens.sum::<usize>() + starts.sum::<usize>()
}
