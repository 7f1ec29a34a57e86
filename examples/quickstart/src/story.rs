//! Five events, and what must become of each.

use std::time::Duration;

use bowline_model::{Clock, RunId, RunState, SystemClock};

use crate::{
    Result,
    admin::{Admin, pause},
    crm::{Crm, Tally},
    screen::{Tone, heading, paint, say},
    stripe::{Answer, Payer, Stripe, payment},
    teller::Teller,
};

const ADA: Payer = Payer { id: "ada", name: "Ada Lovelace", email: "ada@example.com", pence: 4200 };
const GRACE: Payer = Payer { id: "grace", name: "Grace Hopper", email: "grace@example.com", pence: 1906 };
const CHARLES: Payer =
    Payer { id: "charles", name: "Charles Babbage", email: "charles@example.com", pence: 1791 };
/// The CRM lets him wait.
pub(crate) const ALAN: Payer =
    Payer { id: "alan", name: "Alan Turing", email: "alan@example.com", pence: 1912 };
/// Whoever sits at the keyboard sends this one.
pub(crate) const KATHERINE: Payer =
    Payer { id: "katherine", name: "Katherine Johnson", email: "katherine@example.com", pence: 1918 };

/// How long one run may take to come where the story says.
const ACT_WITHIN: Duration = Duration::from_secs(60);

/// The players, and what was not as told.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) stripe: Stripe,
    pub(crate) crm: Crm,
    pub(crate) admin: Admin,
    pub(crate) teller: Teller,
    pub(crate) untold: Vec<String>,
}

/// The whole story. What is not as told ends up in the stage.
///
/// # Errors
/// If the app does not answer.
pub(crate) async fn tell(stage: &mut Stage) -> Result {
    all_goes_well(stage).await?;
    the_same_again(stage).await?;
    a_forgery(stage).await?;
    a_crm_that_stumbles(stage).await?;
    a_crm_that_refuses(stage).await?;
    let runs = stage.admin.runs().await?.runs.len();
    stage.expect(runs == 3, format!("three runs came of five deliveries; there are {runs}"));
    Ok(())
}

async fn all_goes_well(stage: &mut Stage) -> Result {
    heading("1  Ada Lovelace pays 42.00 GBP. The event is on disk before Stripe has its 200.");
    let run = stage.accepted(&ADA, "").await?;
    stage.ends(run, RunState::Completed).await?;
    stage.crm_saw(&ADA, Tally { requests: 1, keys: 1, created: 1 });
    Ok(())
}

async fn the_same_again(stage: &mut Stage) -> Result {
    heading("2  Stripe delivers the same event again. Nothing starts.");
    let answer = stage.send(&ADA, "").await?;
    stage.expect(answer.is("duplicate"), "the second delivery is a duplicate");
    stage.crm_saw(&ADA, Tally { requests: 1, keys: 1, created: 1 });
    Ok(())
}

async fn a_forgery(stage: &mut Stage) -> Result {
    heading("3  Somebody guesses the secret. Nothing is stored.");
    let forger = stage.stripe.forger()?;
    let answer = forger.send(payment(&ADA, "_forged").to_string().as_bytes()).await?;
    stage.expect(answer.status == 401, format!("a forgery is answered 401, not {}", answer.status));
    Ok(())
}

async fn a_crm_that_stumbles(stage: &mut Stage) -> Result {
    heading("4  Grace Hopper pays. The CRM fails twice; every attempt carries the same key.");
    let run = stage.accepted(&GRACE, "").await?;
    stage.ends(run, RunState::Completed).await?;
    stage.crm_saw(&GRACE, Tally { requests: 3, keys: 1, created: 1 });
    Ok(())
}

async fn a_crm_that_refuses(stage: &mut Stage) -> Result {
    heading("5  Charles Babbage pays. The CRM refuses him for good: a dead letter.");
    let run = stage.accepted(&CHARLES, "").await?;
    stage.ends(run, RunState::DeadLettered).await?;
    stage.crm_saw(&CHARLES, Tally { requests: 1, keys: 1, created: 0 });
    Ok(())
}

impl Stage {
    /// Notes what should be so and is not.
    pub(crate) fn expect(&mut self, so: bool, what: impl Into<String>) {
        if !so {
            let what = what.into();
            say(format!("   {}", paint(Tone::Bad, format!("not as told: {what}"))));
            self.untold.push(what);
        }
    }

    pub(crate) async fn send(&self, payer: &Payer, nth: &str) -> Result<Answer> {
        self.stripe.send(payment(payer, nth).to_string().as_bytes()).await
    }

    /// Sends a payment that starts one run.
    pub(crate) async fn accepted(&mut self, payer: &Payer, nth: &str) -> Result<RunId> {
        let answer = self.send(payer, nth).await?;
        let runs = &answer.receipt.runs;
        self.expect(answer.is("accepted") && runs.len() == 1, "the event is accepted and starts one run");
        let run = runs.first().ok_or_else(|| format!("{} starts no run", payer.name))?;
        Ok(RunId(*run))
    }

    /// Tells the run until it is in that state.
    pub(crate) async fn until(&mut self, run: RunId, state: RunState) -> Result {
        let deadline = SystemClock.monotonic() + ACT_WITHIN;
        loop {
            let view = self.admin.run(run).await?;
            self.teller.tell(&view);
            let now = view.run.state;
            if now == state || !now.is_open() || SystemClock.monotonic() > deadline {
                self.expect(now == state, format!("run {run} is {state}; it is {now}"));
                return Ok(());
            }
            pause().await;
        }
    }

    async fn ends(&mut self, run: RunId, state: RunState) -> Result {
        self.until(run, state).await
    }

    fn crm_saw(&mut self, payer: &Payer, expected: Tally) {
        let saw = self.crm.tally(payer.email);
        self.expect(saw == expected, format!("the CRM saw {expected:?} of {}; it saw {saw:?}", payer.name));
    }
}
