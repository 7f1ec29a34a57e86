//! Events come in.

use bowline_model::{Epoch, RunState};
use bowline_store::Transition;

use crate::bench::{Bench, at, done, run_of};

pub(crate) async fn accepts_an_event_with_its_runs(bench: &mut Bench) {
    let (event, runs) = bench.accept("evt_1", vec![run_of("a"), run_of("b")]).await;
    assert_eq!(runs.len(), 2);
    let found = bench.store().event(event).await.unwrap().unwrap();
    assert_eq!(found.dedupe_key, "evt_1");
    assert_eq!(found.received_at, at(0));
    let run = bench.claim_one("a", at(1)).await;
    assert_eq!((run.id, run.event, run.state, run.epoch), (runs[0], event, RunState::Running, Epoch(1)));
    let written = bench.write(&run, vec![done(1, "x")], Some(Transition::Complete), at(2)).await.unwrap();
    assert_eq!(written.state, RunState::Completed);
    assert_eq!(bench.store().journal(run.id).await.unwrap(), vec![done(1, "x")]);
    assert_eq!(bench.state(run.id).await, RunState::Completed);
}
