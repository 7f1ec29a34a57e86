//! One attempt: a program from its start to its verdict, on one screen.

use std::{env, io, path, pin::pin, process::Command, time::Duration};

use bowline_model::{Attempt, Clock, Failure, SystemClock, Verdict};
use futures_util::{
    FutureExt,
    future::{Either, join3, select},
};

use super::{ATTEMPT_VARIABLE, Given, Job, KEY_VARIABLE, OUTPUT_BYTES_MAX, STOP_GRACE, read::Finished};
use crate::{
    exit::ExitMeans,
    find,
    lane::{WAIT_HERE_MAX, within},
    launch::{self, Launched},
    report::{End, Ran},
    secrets::{IN_RESULTS_BYTES_MIN, Secrets},
    stream::{Head, Tail, feed},
};

/// How long the pipes of a dead group may stay open: what left the group can hold them.
const PIPES_CLOSE_WITHIN: Duration = Duration::from_secs(1);
/// What is kept of a program's errors, before secrets are taken out.
const ERRORS_BYTES_MAX: usize = 8 * 1024;

/// Runs the program once.
pub(super) async fn attempt<T>(
    job: &Job,
    attempt: &Attempt,
    read: fn(Finished) -> Result<T, String>,
) -> Verdict<T> {
    let environment = Environment::of(job, attempt);
    let command = match command(job, &environment) {
        Ok(command) => command,
        Err(problem) => return Verdict::Refused(Failure::refused(problem).permanent()),
    };
    // A part of the attempt's time at most: the rest is the program's.
    let came = SystemClock.monotonic();
    let place = match job.lane.enter(WAIT_HERE_MAX.min(attempt.timeout() / 4)).await {
        Ok(place) => place,
        Err(wait) => return wait,
    };
    let waited = SystemClock.monotonic().saturating_sub(came);
    let grace = STOP_GRACE.min(attempt.timeout() / 10);
    let limit = job.timeout.min(attempt.timeout().saturating_sub(waited + grace));
    let launched = match launch::launch(command, place).await {
        Ok(launched) => launched,
        Err(error) => return not_started(job, &error),
    };
    let ended = converse(launched, job, limit, grace, environment.in_errors.longest_bytes()).await;
    judge(job, attempt, &environment, ended, read)
}

/// The variables that the program gets, and which of their values nobody may see.
struct Environment {
    variables: Vec<(String, String)>,
    in_errors: Secrets,
    in_results: Secrets,
}

impl Environment {
    fn of(job: &Job, attempt: &Attempt) -> Self {
        let secrets = &job.secrets;
        let mut made = Self { variables: vec![], in_errors: secrets.clone(), in_results: secrets.clone() };
        for (name, given) in &job.env {
            let value = match given {
                Given::Value(value) => value.clone(),
                Given::Secret(secret) => secret.expose().to_owned(),
                Given::Inherited => match env::var(name) {
                    Ok(value) => made.inherited(name, value),
                    Err(_) => continue,
                },
            };
            made.variables.push((name.clone(), value));
        }
        made.variables.push((KEY_VARIABLE.into(), attempt.key().into()));
        made.variables.push((ATTEMPT_VARIABLE.into(), attempt.number().to_string()));
        made
    }

    /// Only names tell whether such a value is a secret.
    fn inherited(&mut self, name: &str, value: String) -> String {
        const CREDENTIALS: [&str; 8] =
            ["AUTH", "COOKIE", "TOKEN", "SECRET", "KEY", "PASSW", "CREDENTIAL", "SIGNATURE"];
        let name = name.to_ascii_uppercase();
        if CREDENTIALS.iter().any(|word| name.contains(word)) {
            self.in_errors.add(&value);
            self.in_results.add(&value);
        }
        value
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What is started, or what is wrong with it.
fn command(job: &Job, environment: &Environment) -> Result<Command, String> {
    if let Some(problem) = &job.problem {
        return Err(format!("{}: {problem}", job.program));
    }
    // Absolute: the program's file is looked up here, and run there.
    let dir = job.dir.as_deref().map(path::absolute).transpose();
    let dir = dir.map_err(|error| format!("the folder of {} has no path: {error}", job.program))?;
    if let Some(dir) = dir.as_deref().filter(|dir| !dir.is_dir()) {
        return Err(format!("{} cannot run in {}: there is no such folder", job.program, dir.display()));
    }
    let program = find::program(&job.program, dir.as_deref(), environment.get("PATH"))?;
    let program =
        path::absolute(&program).map_err(|error| format!("{} has no path: {error}", job.program))?;
    let mut command =
        launch::command(&program, &job.args, job.memory_mib.map(|mib| mib.saturating_mul(1024)));
    command.envs(environment.variables.iter().map(|(name, value)| (name, value)));
    if let Some(dir) = dir {
        command.current_dir(dir);
    }
    Ok(command)
}

/// Nothing ran. What is wrong with the description stays wrong; what the machine lacks may be there later.
fn not_started<T>(job: &Job, error: &io::Error) -> Verdict<T> {
    let program = &job.program;
    match error.kind() {
        io::ErrorKind::InvalidInput => Verdict::Refused(
            Failure::refused(format!("{program} was not started: an argument or a variable holds a NUL"))
                .permanent(),
        ),
        io::ErrorKind::ArgumentListTooLong => Verdict::Refused(
            Failure::refused(format!(
                "{program} was not started: its arguments are too long; use .json or .stdin"
            ))
            .permanent(),
        ),
        _ => Verdict::RetryAfter(Failure::refused(format!("{program} was not started: {error}"))),
    }
}

/// How it ended, and what it wrote.
struct Ended {
    end: End,
    output: Vec<u8>,
    errors: Vec<u8>,
}

/// Feeds the program, reads what it writes, and waits for its end; all at once, so that neither side waits for the other.
async fn converse(
    launched: Launched,
    job: &Job,
    limit: Duration,
    grace: Duration,
    secret_bytes: usize,
) -> Result<Ended, io::Error> {
    let Launched { stdin, stdout, stderr, group, ended } = launched;
    let (mut output, mut errors) = (Head::new(OUTPUT_BYTES_MAX), Tail::new(ERRORS_BYTES_MAX + secret_bytes));
    let ended = async {
        let mut ended = pin!(ended.map(|ended| ended.map_err(|_| io::Error::other("its end is not known"))));
        if let Some(status) = within(&mut ended, limit).await {
            return status.map(End::Own);
        }
        group.terminate();
        if within(&mut ended, grace).await.is_none() {
            group.kill();
            ended.await?;
        }
        Ok(End::TimeUp(limit))
    };
    let mut ended = pin!(ended);
    let end = {
        let streams = async {
            let full = async {
                let full = output.fill(stdout).await;
                // More than may be recorded: whatever it goes on to do is for nothing.
                if output.is_over {
                    group.kill();
                }
                full
            };
            let (fed, read, erred) = join3(feed(stdin, job.input.clone()), full, errors.fill(stderr)).await;
            fed.and(read).and(erred)
        };
        match select(pin!(streams), &mut ended).await {
            Either::Left((Ok(()), ended)) => ended.await?,
            Either::Left((Err(error), _)) => return Err(error),
            Either::Right((end, streams)) => {
                within(streams, PIPES_CLOSE_WITHIN).await.unwrap_or(Ok(()))?;
                end?
            }
        }
    };
    let end = if output.is_over { End::TooMuch { bytes_max: OUTPUT_BYTES_MAX } } else { end };
    Ok(Ended { end, output: output.bytes, errors: errors.into_bytes() })
}

fn judge<T>(
    job: &Job,
    attempt: &Attempt,
    environment: &Environment,
    ended: Result<Ended, io::Error>,
    read: fn(Finished) -> Result<T, String>,
) -> Verdict<T> {
    let Ended { end, output, errors } = match ended {
        Ok(ended) => ended,
        Err(error) => {
            let lost = format!("{} was killed, as its pipes failed: {error}", job.program);
            return Verdict::Unknown(Failure::unknown(lost));
        }
    };
    let args = job.shown_args();
    let ran = Ran {
        program: &job.program,
        args: &args,
        memory_mib: job.memory_mib,
        attempt: attempt.number(),
        secrets: &environment.in_errors,
    };
    let code = match end {
        End::Own(status) => status.code(),
        End::TimeUp(_) | End::TooMuch { .. } => None,
    };
    let means = code.map_or(ExitMeans::Unknown, |code| {
        job.codes.get(&code).copied().unwrap_or_else(|| ExitMeans::of(code))
    });
    let message = ran.message(end, &errors);
    match (means, code) {
        (ExitMeans::Done, code) => {
            let output = environment.in_results.taken_out(output, IN_RESULTS_BYTES_MIN);
            match read(Finished { code: code.unwrap_or_default(), output }) {
                Ok(value) => Verdict::Done(value),
                Err(why) => {
                    let message = format!("{} {args} was done, but {why}", job.program);
                    Verdict::Unknown(ran.failure(Failure::unknown(message).permanent(), end, errors))
                }
            }
        }
        (ExitMeans::Retry, _) => Verdict::RetryAfter(ran.failure(Failure::refused(message), end, errors)),
        (ExitMeans::Refused, _) => {
            Verdict::Refused(ran.failure(Failure::refused(message).permanent(), end, errors))
        }
        (ExitMeans::Unknown, _) => {
            let failure = Failure::unknown(message);
            // What prints too much once will again.
            let failure = if matches!(end, End::TooMuch { .. }) { failure.permanent() } else { failure };
            Verdict::Unknown(ran.failure(failure, end, errors))
        }
    }
}
