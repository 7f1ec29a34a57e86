//! Polls of an app: a method that asks a remote for news, and what each item starts.

use std::{fmt, sync::Arc};

use bowline_engine::{Asynchronous, Fallible};
use bowline_ingress::{
    TriggerKind,
    poll::{self, Asking, Every, News, Poll, PollCursor, PollSpec, PolledItem},
};
use bowline_model::Variables;

use crate::{
    App, Workflow,
    triggers::{TWICE, Trigger, twins},
    workflow::Declared,
};

type Bind<S> = dyn Fn(Arc<S>) -> Asking + Send + Sync;

/// A poll as the app keeps it, whatever it finds.
pub(crate) struct DeclaredPoll<S> {
    name: String,
    every: Every,
    bind: Arc<Bind<S>>,
    workflow: Declared<S>,
}

impl<S: Send + Sync + 'static> App<S> {
    /// Asks a remote for news, and starts a run for each item that it finds.
    ///
    /// `ask` is an async method of the app's struct, of the shape
    /// `async fn name(self: Arc<Self>, poll: Poll, since: Option<Cursor>) -> Result<Found<Item, Cursor>>`. `since` is the
    /// cursor that the last one [returned](crate::Found::next), and `None` at the very first poll. Items and cursors are
    /// any types of yours with serde. The workflow takes an `Item`, or a `Vec` of them with
    /// [`in_batches`](crate::Found::in_batches).
    ///
    /// `name` is what the cursor on disk is called: keep it across builds. `every` is a duration, or an
    /// [`Every`](crate::Every) with limits of its own. The first poll comes a second after the start.
    ///
    /// | | |
    /// |---|---|
    /// | one at a time | a poll never overlaps with itself; [`more`](crate::Found::more) lets the next one begin at once |
    /// | a failure | is shown and tried again: after up to 1 s, 2 s, 4 s and so on (full jitter), at most 10 min |
    /// | a rate limit | the next poll is no earlier than the remote says; limits that come again double the interval, up to 32 times, and calm halves it |
    /// | a panic | fails the poll, and nothing else |
    /// | a cursor that no longer fits its type | stops the poll, and says so: nothing is guessed |
    /// | a store that is full | the cursor stays, and the poll is tried again |
    ///
    /// ```
    /// use bowline::prelude::*;
    ///
    /// struct Shop { shop: Api }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Order { id: u64, total: u64 }
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Orders { orders: Vec<Order>, cursor: String, has_more: bool }
    ///
    /// impl Shop {
    ///     /// Asks the shop for the orders since the cursor.
    ///     async fn new_orders(self: Arc<Self>, poll: Poll, since: Option<String>) -> Result<Found<Order, String>> {
    ///         let call = self.shop.get("/orders").query("since", since.unwrap_or_default());
    ///         let page: Orders = poll.send(call.decode()).await?;
    ///         Ok(Found::items(page.orders).keyed(|order| order.id).next(page.cursor).more(page.has_more))
    ///     }
    ///
    ///     async fn import(self: Arc<Self>, cx: Context, order: Order) -> Result {
    ///         cx.step("import", self.shop.post("/imports").json(&order)).await?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let app = App::new("shop", |setup| Shop { shop: setup.api("shop").base_url("https://shop.example.com") })
    ///     .poll("new orders", secs(30), Shop::new_orders, workflow("import order", Shop::import));
    /// ```
    ///
    /// # Durability
    /// The items' runs and the cursor are on disk in one transaction. A crash before it starts nothing: the next process
    /// asks again from the old cursor. A crash after it loses nothing: the next process asks from the new one. So each item
    /// starts exactly one run, as long as the remote does not give it on both sides of a cursor; where it does, its
    /// [key](crate::Found::keyed) tells.
    pub fn poll<F, Fut, I, C, O>(
        mut self,
        name: impl Into<String>,
        every: impl Into<Every>,
        ask: F,
        workflow: Workflow<S, I, O>,
    ) -> Self
    where
        F: Fn(Arc<S>, Poll, Option<C>) -> Fut + Send + Sync + 'static,
        Fut: Asynchronous<Yields: Fallible<Value: News<Item = I, Cursor = C>>> + Send + 'static,
        I: PolledItem,
        C: PollCursor,
    {
        let ask = Arc::new(ask);
        let bind = move |systems: Arc<S>| {
            let ask = ask.clone();
            Asking::new(move |poll, cursor| {
                let asked = ask(systems.clone(), poll, cursor);
                async move { Ok(asked.await.into_result()?.into_found()) }
            })
        };
        let workflow = workflow.into_declared();
        self.polls.push(DeclaredPoll {
            name: name.into(),
            every: every.into(),
            bind: Arc::new(bind),
            workflow,
        });
        self
    }

    /// The polls as they run; what is wrong with them is recorded in the variables.
    pub(crate) fn bound_polls(&self, systems: &Arc<S>, variables: &Variables) -> Vec<Trigger> {
        let specs: Vec<PollSpec> = self.polls.iter().map(|poll| poll.spec(systems)).collect();
        for spec in &specs {
            let problems = spec.problems();
            if !problems.is_empty() {
                variables.problem(format!("poll {:?}", spec.name()), problems.join("; and it "));
            }
        }
        for problem in twins("poll", specs.iter().map(PollSpec::name)) {
            variables.problem(problem, TWICE);
        }
        specs.into_iter().map(trigger).collect()
    }
}

fn trigger(spec: PollSpec) -> Trigger {
    Arc::new(move |intake, board, stopped| {
        let line = board.add(TriggerKind::Poll, spec.name());
        Box::pin(poll::run(spec.clone(), intake, line, stopped))
    })
}

impl<S> DeclaredPoll<S> {
    pub(crate) fn workflow(&self) -> &Declared<S> {
        &self.workflow
    }

    fn spec(&self, systems: &Arc<S>) -> PollSpec {
        PollSpec::new(&self.name, self.every, (self.bind)(systems.clone()), self.workflow.name().clone())
    }
}

impl<S> fmt::Debug for DeclaredPoll<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeclaredPoll")
            .field("name", &self.name)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use bowline_ingress::poll::Found;
    use bowline_model::Variables;

    use super::*;
    use crate::{
        Context, Inbox, OpenOptions, Result,
        inbox::DeclaredInbox,
        time::{minutes, secs},
        workflow,
    };

    struct Shop;

    impl Shop {
        async fn news(self: Arc<Self>, _: Poll, _: Option<()>) -> Result<Found<u64>> {
            Ok(Found::nothing())
        }

        async fn import(self: Arc<Self>, _: Context, _: u64) -> Result {
            Ok(())
        }

        async fn book(self: Arc<Self>, _: Context, _: crate::InboxFile) -> Result {
            Ok(())
        }
    }

    #[test]
    fn what_is_wrong_with_polls_and_inboxes_is_told_at_once() {
        let (import, book) = (workflow("import", Shop::import), workflow("book", Shop::book));
        let app = App::new("shop", |_| Shop)
            .poll("orders", Every::new(secs(0)).items_max(20_000), Shop::news, import.clone())
            .poll("orders", minutes(1), Shop::news, import.clone())
            .poll("", Every::new(minutes(1)).within(secs(0)), Shop::news, import)
            .inbox("in", Inbox::folder_env("IN_FOLDER"), book.clone())
            .inbox("out", Inbox::folder("").pattern(""), book.clone())
            .inbox("out", "/tmp", book);
        let variables = Variables::new(|_| None);
        let built = app.build(&OpenOptions::default().variables(variables.clone()));
        let problems: Vec<String> =
            variables.problems().iter().map(|(name, what)| format!("{name} {what}")).collect();
        for expected in [
            "poll \"orders\" asks every 0ns (at least 10ms); and it may find 20000 items at once (1 to 10000); read pages, with .more(true)",
            "poll \"\" has no name; and it has no time: .within(..) is 0 s",
            "the poll \"orders\" is there twice",
            "IN_FOLDER",
            "inbox \"out\" names no folder; and it takes no file: its pattern is empty",
            "the inbox \"out\" is there twice",
        ] {
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:#?}");
        }
        assert_eq!((problems.len(), built.triggers.len()), (6, 5), "{problems:#?}");
        assert_eq!(app.inboxes.iter().map(DeclaredInbox::workflow).count(), 3);
    }
}
