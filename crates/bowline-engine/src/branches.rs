//! Branches of a run side by side, each with a scope of its own: `all` and `race`.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
};

use bowline_model::{BoxFuture, EntryKey, Position, Result};

use crate::{
    Context,
    board::{Place, Scoped},
};

impl Context {
    /// Runs branches side by side and waits for all of them: a tuple of two to eight async blocks, or a `Vec` of them.
    /// If some fail, the others still come to their end; the error of the first of them in their order counts.
    ///
    /// Each branch has a scope of its own: steps of the same name in two branches do not meet. The branches use this
    /// `cx`.
    ///
    /// # Durability
    /// What each branch has recorded is recorded; a branch goes on where it was, whatever the others do.
    ///
    /// ```no_run
    /// # async fn code(cx: bowline_engine::Context) -> bowline_model::Result<()> {
    /// let (stock, score) = cx
    ///     .all((
    ///         async { cx.step("stock", async || Ok(7_u32)).await },
    ///         async { cx.step("score", async || Ok(0.9_f64)).await },
    ///     ))
    ///     .await?;
    /// # let _ = (stock, score); Ok(()) }
    /// ```
    pub fn all<'a, B: Branches<'a> + 'a>(
        &'a self,
        branches: B,
    ) -> impl Future<Output = Result<B::Outputs>> + Send + 'a {
        let mut opened = None;
        let mut branches = Some(branches);
        poll_fn(move |polled| {
            let running = opened.get_or_insert_with(|| {
                let (key, place) = self.board().begin_branch("all");
                let branches = branches.take().expect("they are opened once");
                branches.begin(&Opener { cx: self, place: &place, key: &key })
            });
            B::poll_all(running, polled)
        })
    }

    /// Runs branches side by side until the first of them ends: its output counts, the others are dropped where they
    /// stand. A call of theirs that is under way is noted as unknown; a child run of theirs goes on by itself.
    ///
    /// If several could end at once, the first in their order wins. Scopes are as in [`all`](Self::all).
    ///
    /// # Durability
    /// Which branch won is recorded: after a crash the same one wins.
    ///
    /// # Panics
    /// If the `Vec` is empty: nobody could ever win. A panic ends the run as a dead letter.
    ///
    /// ```no_run
    /// # async fn code(cx: bowline_engine::Context) -> bowline_model::Result<()> {
    /// use std::time::Duration;
    ///
    /// let raced = cx
    ///     .race((
    ///         async { cx.signal::<u64>("paid").await.map(Some) },
    ///         async { cx.sleep(Duration::from_secs(3 * 86_400)).await; Ok(None) },
    ///     ))
    ///     .await;
    /// let paid: Option<u64> = raced.output?;
    /// # let _ = paid; Ok(()) }
    /// ```
    pub fn race<'a, R: Racing<'a> + 'a>(
        &'a self,
        branches: R,
    ) -> impl Future<Output = Raced<R::Output>> + Send + 'a {
        let mut opened = None;
        let mut branches = Some(branches);
        poll_fn(move |polled| {
            let (key, running) = opened.get_or_insert_with(|| {
                let (key, place) = self.board().begin_branch("race");
                let branches = branches.take().expect("they are opened once").boxed();
                let opener = Opener { cx: self, place: &place, key: &key };
                let open = |(nth, code)| opener.open(nth, code);
                let running: Vec<_> = branches.into_iter().enumerate().map(open).collect();
                assert!(
                    !running.is_empty(),
                    "cx.race was given no branches, so that none can win; ask before whether there are any"
                );
                (key, running)
            });
            for (winner, branch) in running.iter_mut().enumerate() {
                if let Poll::Ready(output) = Pin::new(branch).poll(polled) {
                    self.board().race_won(key.clone(), winner);
                    running.clear();
                    return Poll::Ready(Raced { winner, output });
                }
            }
            Poll::Pending
        })
    }
}

/// Gives branches their scopes.
#[doc(hidden)]
#[derive(Debug)]
pub struct Opener<'s, 'a> {
    cx: &'a Context,
    place: &'s Place,
    key: &'s EntryKey,
}

impl<'a> Opener<'_, 'a> {
    fn open<T>(&self, nth: usize, code: impl Future<Output = T> + Send + 'a) -> Scoped<'a, T> {
        let which = match &self.key.position {
            Position::Nth(of) => format!("{}#{of}.{nth}", self.key.name),
            Position::Key(of) => format!("{}[{of}].{nth}", self.key.name),
        };
        Scoped::new(self.cx.board().clone(), self.place.branch(&which), code)
    }
}

/// What came of a race.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raced<T> {
    /// Which branch ended first, from 0.
    pub winner: usize,
    /// What it yielded.
    pub output: T,
}

/// Branches that [`Context::all`] runs: tuples of two to eight futures of results, or a `Vec` of futures of one type.
pub trait Branches<'a>: Send {
    /// What they yield when none fails.
    type Outputs;
    #[doc(hidden)]
    type Running: Send;

    #[doc(hidden)]
    fn begin(self, opener: &Opener<'_, 'a>) -> Self::Running;

    #[doc(hidden)]
    fn poll_all(
        running: &mut Self::Running,
        polled: &mut std::task::Context<'_>,
    ) -> Poll<Result<Self::Outputs>>;
}

/// Branches that [`Context::race`] runs: futures of one output, a `Vec` of them or a tuple of two to eight.
pub trait Racing<'a>: Send {
    /// What each yields.
    type Output;

    #[doc(hidden)]
    fn boxed(self) -> Vec<BoxFuture<'a, Self::Output>>;
}

/// A branch that runs, or what came of it.
#[doc(hidden)]
pub struct Branch<'a, T>(State<'a, T>);

enum State<'a, T> {
    Running(Scoped<'a, Result<T>>),
    Ended(Result<T>),
}

impl<'a, T> Branch<'a, T> {
    fn new(code: Scoped<'a, Result<T>>) -> Self {
        Self(State::Running(code))
    }

    /// Polls it if it still runs; whether it has ended.
    fn poll(&mut self, polled: &mut std::task::Context<'_>) -> bool {
        if let State::Running(code) = &mut self.0 {
            let Poll::Ready(ended) = Pin::new(code).poll(polled) else { return false };
            self.0 = State::Ended(ended);
        }
        true
    }

    fn output(self) -> Result<T> {
        match self.0 {
            State::Ended(ended) => ended,
            State::Running(_) => unreachable!("all branches have ended"),
        }
    }
}

impl<T> fmt::Debug for Branch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Branch").finish_non_exhaustive()
    }
}

impl<'a, T, F> Branches<'a> for Vec<F>
where
    T: Send + 'a,
    F: Future<Output = Result<T>> + Send + 'a,
{
    type Outputs = Vec<T>;
    type Running = Vec<Branch<'a, T>>;

    fn begin(self, opener: &Opener<'_, 'a>) -> Self::Running {
        self.into_iter().enumerate().map(|(nth, code)| Branch::new(opener.open(nth, code))).collect()
    }

    fn poll_all(running: &mut Self::Running, polled: &mut std::task::Context<'_>) -> Poll<Result<Vec<T>>> {
        let unfinished = running.iter_mut().filter_map(|branch| (!branch.poll(polled)).then_some(())).count();
        if unfinished > 0 {
            return Poll::Pending;
        }
        Poll::Ready(std::mem::take(running).into_iter().map(Branch::output).collect())
    }
}

impl<'a, T, F> Racing<'a> for Vec<F>
where
    F: Future<Output = T> + Send + 'a,
{
    type Output = T;

    fn boxed(self) -> Vec<BoxFuture<'a, T>> {
        self.into_iter().map(|code| Box::pin(code) as BoxFuture<'a, T>).collect()
    }
}

macro_rules! tuples {
    ($(($($code:ident $output:ident $branch:ident $nth:tt),+))+) => {$(
        impl<'a, $($code, $output),+> Branches<'a> for ($($code,)+)
        where
            $($output: Send + 'a, $code: Future<Output = Result<$output>> + Send + 'a,)+
        {
            type Outputs = ($($output,)+);
            type Running = Option<($(Branch<'a, $output>,)+)>;

            fn begin(self, opener: &Opener<'_, 'a>) -> Self::Running {
                let ($($branch,)+) = self;
                Some(($(Branch::new(opener.open($nth, $branch)),)+))
            }

            fn poll_all(
                running: &mut Self::Running,
                polled: &mut std::task::Context<'_>,
            ) -> Poll<Result<Self::Outputs>> {
                let Some(($($branch,)+)) = running else { return Poll::Pending };
                // Each is polled, whatever came of those before it.
                let ended = [$($branch.poll(polled)),+];
                if ended.contains(&false) {
                    return Poll::Pending;
                }
                let Some(($($branch,)+)) = running.take() else { return Poll::Pending };
                Poll::Ready((|| Ok(($($branch.output()?,)+)))())
            }
        }

        impl<'a, T, $($code),+> Racing<'a> for ($($code,)+)
        where
            T: 'a,
            $($code: Future<Output = T> + Send + 'a,)+
        {
            type Output = T;

            fn boxed(self) -> Vec<BoxFuture<'a, T>> {
                let ($($branch,)+) = self;
                vec![$(Box::pin($branch)),+]
            }
        }
    )+};
}

tuples! {
    (A OA a 0, B OB b 1)
    (A OA a 0, B OB b 1, C OC c 2)
    (A OA a 0, B OB b 1, C OC c 2, D OD d 3)
    (A OA a 0, B OB b 1, C OC c 2, D OD d 3, E OE e 4)
    (A OA a 0, B OB b 1, C OC c 2, D OD d 3, E OE e 4, F OF f 5)
    (A OA a 0, B OB b 1, C OC c 2, D OD d 3, E OE e 4, F OF f 5, G OG g 6)
    (A OA a 0, B OB b 1, C OC c 2, D OD d 3, E OE e 4, F OF f 5, G OG g 6, H OH h 7)
}
