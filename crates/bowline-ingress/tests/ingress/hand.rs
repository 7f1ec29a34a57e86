//! Runs are driven by hand, where a test needs their end.

use std::sync::Arc;

use bowline_model::{
    BuildId, Clock, DeadReason, Entry, EntryKey, EntryKind, EntryMeta, NodeId, Payload, Run, RunId, RunState,
    Seq, SystemClock,
};
use bowline_store::{Claim, Operation, RunWrite, Store, Transition};
use serde_json::Value;

/// What an engine would be.
pub(crate) struct Hand {
    store: Arc<dyn Store>,
    node: NodeId,
}

impl Hand {
    pub(crate) async fn on(store: &Arc<dyn Store>) -> Self {
        let node = store.start_node(SystemClock.now()).await.expect("sound").node;
        Self { store: Arc::clone(store), node }
    }

    pub(crate) async fn complete(&self, run: i64, output: Value) {
        let run = self.claim(run).await;
        let output = Some(Payload::encode(&output).expect("sound"));
        self.end(&run, EntryKind::Completed, output, Transition::Complete).await;
    }

    pub(crate) async fn fail(&self, run: i64, why: &str) {
        let run = self.claim(run).await;
        let dead = Transition::DeadLetter { reason: DeadReason::Failed, summary: why.to_owned() };
        self.end(&run, EntryKind::DeadLettered, None, dead).await;
    }

    pub(crate) async fn cancel(&self, run: i64) {
        let run = self.claim(run).await;
        self.end(&run, EntryKind::Cancelled, None, Transition::Cancel).await;
    }

    /// What an operator's retry does.
    pub(crate) async fn retry(&self, run: i64) {
        let run = self.store.run(RunId(run)).await.expect("sound").expect("it is there");
        let operation = Operation {
            run: run.id,
            expect: RunState::DeadLettered,
            expect_journal_len: run.journal_len,
            now: SystemClock.now(),
            entries: vec![],
            to: RunState::Queued,
            ruled: None,
        };
        self.store.operate(operation).await.expect("sound");
    }

    async fn claim(&self, run: i64) -> Run {
        let wanted = self.store.run(RunId(run)).await.expect("sound").expect("it is there");
        let claim = Claim {
            node: self.node,
            now: SystemClock.now(),
            total_max: 1,
            workflows: vec![(wanted.workflow.clone(), 1)],
            others_max: 0,
            crashes_min: 0,
        };
        let claimed = self.store.claim(claim).await.expect("sound").pop().expect("it is queued");
        assert_eq!(claimed.id, wanted.id, "the oldest of its workflow goes first");
        claimed
    }

    async fn end(&self, run: &Run, kind: EntryKind, payload: Option<Payload>, to: Transition) {
        let entry = Entry {
            seq: Seq(run.journal_len + 1),
            kind,
            key: EntryKey::run(),
            at: SystemClock.now(),
            build: BuildId::from("build-1"),
            meta: EntryMeta::default(),
            payload,
        };
        let write = RunWrite::new(run.id, run.epoch, SystemClock.now(), vec![entry], Some(to));
        self.store.write(write).await.expect("sound");
    }
}
