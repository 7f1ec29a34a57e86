//! What is said to runs: signals, decisions, outcomes that an operator knows.

use std::{
    fs::File,
    io::{self, Read},
};

use bowline_dashboard::{
    Operator,
    admin::request::{DecideRequest, SettleRequest},
    commands::Outcome,
};
use bowline_store::mail::MESSAGE_BYTES_MAX;

use super::{
    CliContext, Control, Error, Result,
    args::{ApprovalsArgs, DecideArgs, SettleArgs, SignalArgs},
    operate::{Output, json, operator},
    print,
    render::{self, Paint},
};

pub(super) async fn signal(context: &CliContext, args: &SignalArgs) -> Result {
    let body = args.value.as_deref().map(read).transpose()?.unwrap_or_default();
    let control = Control::open(context).await?;
    let told = control.signal(args.run, &args.name, args.id.as_deref(), body).await;
    let local = control.is_local();
    control.close().await?;
    print(&render::told(&told?, "the signal", Paint::Colour))?;
    if local { print("no server runs; it goes on when one starts\n") } else { Ok(()) }
}

pub(super) async fn approvals(context: &CliContext, args: &ApprovalsArgs) -> Result {
    let control = Control::open(context).await?;
    let list = control.approvals(args.run).await;
    control.close().await?;
    let list = list?;
    match Output::of(args.json) {
        Output::Json => print(&json(&list)?),
        Output::Text if list.approvals.is_empty() => print("nobody is asked anything\n"),
        Output::Text => print(&render::approvals(&list, context.clock.now(), Paint::Colour)),
    }
}

pub(super) async fn decide(context: &CliContext, args: DecideArgs, approved: bool) -> Result {
    let control = Control::open(context).await?;
    let told = say(&control, args, approved).await;
    let local = control.is_local();
    control.close().await?;
    let what = if approved { "a yes to" } else { "a no to" };
    print(&render::told(&told?, what, Paint::Colour))?;
    if local { print("no server runs; it goes on when one starts\n") } else { Ok(()) }
}

async fn say(
    control: &Control,
    args: DecideArgs,
    approved: bool,
) -> Result<bowline_dashboard::commands::Told> {
    let DecideArgs { run, name, set, by: said, why } = args;
    let open = control.approvals(Some(run)).await?.approvals;
    let is_it = |view: &&bowline_dashboard::approvals::ApprovalView| {
        name.as_ref().map_or(open.len() == 1, |name| view.name == *name)
    };
    let question = open.iter().find(is_it).and_then(|view| view.question.clone());
    let values = match question {
        Some(question) => question.read(set),
        // The answer says which there are.
        None => set.into_iter().map(|(field, text)| (field, text.into())).collect(),
    };
    let Operator { who, why } = operator(why);
    let by = said.or(who);
    control.decide(run, DecideRequest { approval: name, approved, values, by, why }).await
}

pub(super) async fn settle(context: &CliContext, args: SettleArgs) -> Result {
    let outcome = match args.done.as_deref().map(read).transpose()? {
        Some(value) => Outcome::Done(serde_json::from_slice(&value).map_err(|error| {
            Error::new(format!("what the step yielded is no JSON: {error}"))
                .hint("a text needs quotes of its own: --done '\"text\"'")
        })?),
        None => Outcome::NotDone,
    };
    let control = Control::open(context).await?;
    let Operator { who, why } = operator(args.why);
    let settled = control.settle(args.run, SettleRequest { step: args.step, outcome, who, why }).await;
    let local = control.is_local();
    control.close().await?;
    print(&render::settled(&settled?, Paint::Colour))?;
    if local { print("no server runs; it goes on when one starts\n") } else { Ok(()) }
}

/// What is said in place of JSON: itself, a file's content, or the standard input's.
fn read(said: &str) -> Result<Vec<u8>> {
    let (from, name): (Box<dyn Read>, _) = match said.strip_prefix('@') {
        Some(path) => {
            let opened =
                File::open(path).map_err(|error| Error::new(format!("cannot read {path}: {error}")))?;
            (Box::new(opened), path)
        }
        None if said == "-" => (Box::new(io::stdin().lock()), "the standard input"),
        None => return Ok(said.as_bytes().to_vec()),
    };
    let mut bytes = vec![];
    // One more than is taken: then it is too much.
    let read = from.take(MESSAGE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::new(format!("cannot read {name}: {error}")))?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(Error::new(format!("{name} has more than {MESSAGE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
