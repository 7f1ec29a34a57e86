//! A program, described: a plain value that runs nothing until a step runs it.

mod attempt;
mod read;

use std::{collections::BTreeMap, fmt, marker::PhantomData, path::PathBuf, sync::Arc, time::Duration};

use bowline_model::{Attempt, Effect, Fingerprint, Recorded, Repeat, Secret, Shape, Verdict, canonical};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use crate::{
    exit::ExitMeans,
    lane::{Lane, WAIT_HERE_MAX},
    secrets::Secrets,
};

/// How long a program may take unless it is told.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(60);
/// How long a program whose time is up has to end by itself, after SIGTERM and before SIGKILL.
pub const STOP_GRACE: Duration = Duration::from_secs(2);
/// The most that a program may print as its result.
pub const OUTPUT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The most that a program may be given to read.
pub const INPUT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// The variable that holds the step's idempotency key.
pub const KEY_VARIABLE: &str = "BOWLINE_IDEMPOTENCY_KEY";
/// The variable that says which attempt it is, from 1.
pub const ATTEMPT_VARIABLE: &str = "BOWLINE_ATTEMPT";

/// Longer arguments are recorded cut, with a hash of all of them.
const SHOWN_ARGS_BYTES_MAX: usize = 256;
/// How much of a hash is kept: enough to tell two apart.
const HASH_BYTES: usize = 8;

/// Runs a program: its input is given on its standard input, its result is what it prints on its standard output. No text
/// passes through a shell.
///
/// Without [`decode`](Exec::decode) it yields [`Printed`], its output as text.
///
/// | | |
/// |---|---|
/// | environment | empty, but for `PATH`, `HOME`, `USER`, `LANG`, `LC_ALL`, `TZ`, `TMPDIR` and what it is given |
/// | idempotency key | in `BOWLINE_IDEMPOTENCY_KEY`, the same on every attempt, before and after a crash; the attempt's number in `BOWLINE_ATTEMPT` |
/// | time | 60 s, see [`timeout`](Exec::timeout) |
/// | output | 16 MiB; of its standard error, the last 2 KiB are kept with a failure |
/// | at once | as many as the machine has cores, see [`lane`](Exec::lane) |
/// | exit codes | see [`ExitMeans`] |
///
/// When it ends, everything it started ends with it: its process group is killed. So it is when its time is up, when its run is
/// cancelled, at the shutdown, and when the process of the workflow is killed (`kill -9`) itself. What left the group on
/// purpose (`setsid`, a daemon) is out of reach.
///
/// What is wrong with the description itself is kept, and becomes a permanent failure when it runs. It needs `/bin/sh`, which
/// sets the limits and then becomes the program.
///
/// # A model in Python
/// ```
/// use bowline_exec::Exec;
/// use bowline_model::Effect;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Score {
///     label: String,
///     certainty: f64,
/// }
///
/// // In a workflow: let score: Score = cx.step("score", ...).await?;
/// let exec = Exec::new("python3").arg("score.py").json(&["the text"]).memory_mib(512).decode::<Score>();
/// let shape = exec.shape();
/// assert_eq!(shape.fingerprint.unwrap().to_string(), "EXEC python3 score.py (body bf1d1fbea83a592c)");
/// ```
///
/// # Durability
/// What it printed is recorded once. In flight at a crash, it is killed, and runs again under the same key. Program, arguments
/// and a hash of its input are recorded too; code that asks for something else under the same name is noticed.
#[must_use = "this is only a description: hand it to a step"]
pub struct Exec<T = Printed> {
    job: Arc<Job>,
    read: fn(read::Finished) -> Result<T, String>,
    yields: PhantomData<fn() -> T>,
}

/// What is run, and how.
#[derive(Clone)]
struct Job {
    program: String,
    args: Vec<String>,
    input: Bytes,
    env: BTreeMap<String, Given>,
    dir: Option<PathBuf>,
    timeout: Duration,
    memory_mib: Option<u64>,
    codes: BTreeMap<i32, ExitMeans>,
    lane: Lane,
    key_lifetime: Option<Duration>,
    secrets: Secrets,
    /// What is wrong with the description: the first thing.
    problem: Option<String>,
}

/// Where the value of a variable comes from.
#[derive(Clone)]
enum Given {
    Value(String),
    Secret(Secret),
    /// This process's environment, if it is set there.
    Inherited,
}

/// What a program printed, and the code that it ended with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printed {
    /// 0, or one that [means](Exec::exit_code) done.
    pub code: i32,
    /// Its standard output.
    pub text: String,
}

impl Exec {
    /// A program: the name of one in `PATH`, or its file if there is a `/` in it.
    pub fn new(program: impl Into<String>) -> Self {
        const HANDED_ON: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];
        let job = Job {
            program: program.into(),
            args: vec![],
            input: Bytes::new(),
            env: HANDED_ON.map(|name| (name.to_owned(), Given::Inherited)).into(),
            dir: None,
            timeout: TIMEOUT_DEFAULT,
            memory_mib: None,
            codes: BTreeMap::new(),
            lane: Lane::programs(),
            key_lifetime: None,
            secrets: Secrets::default(),
            problem: None,
        };
        Self { job: Arc::new(job), read: read::text, yields: PhantomData }
    }

    /// The same program, its output read as JSON into `T`. Nothing printed reads as `null`: `()` and `Option` take it. What
    /// is not JSON is a permanent failure: let the program log to its standard error.
    pub fn decode<T: DeserializeOwned>(self) -> Exec<T> {
        Exec { job: self.job, read: read::json, yields: PhantomData }
    }
}

impl<T> Exec<T> {
    /// Adds an argument, as it is. Everybody on the machine can see arguments: secrets go to
    /// [`secret_env`](Exec::secret_env), data to [`json`](Exec::json).
    pub fn arg(self, arg: impl ToString) -> Self {
        self.with(|job| job.args.push(arg.to_string()))
    }

    /// Adds arguments.
    pub fn args<A: ToString>(self, args: impl IntoIterator<Item = A>) -> Self {
        self.with(|job| job.args.extend(args.into_iter().map(|arg| arg.to_string())))
    }

    /// Gives the program a value to read, as JSON. The keys of its objects are sorted, so that equal values give equal bytes
    /// in every process.
    pub fn json<B: Serialize + ?Sized>(self, value: &B) -> Self {
        match canonical::to_json(value) {
            Ok(json) => self.stdin(json),
            Err(error) => self.problem(format!("its input cannot be written as JSON: {error}")),
        }
    }

    /// Gives the program bytes or text to read; at most 64 MiB.
    pub fn stdin(self, input: impl Into<Bytes>) -> Self {
        let input = input.into();
        if input.len() > INPUT_BYTES_MAX {
            let bytes = input.len();
            return self.problem(format!(
                "its input has {bytes} bytes (limit {INPUT_BYTES_MAX}); write it to a file, and give the program its name"
            ));
        }
        self.with(|job| job.input = input)
    }

    /// Sets a variable of the program's environment.
    pub fn env(self, name: &str, value: impl Into<String>) -> Self {
        self.with_env(name, Given::Value(value.into()))
    }

    /// Sets a variable that nobody may see: its value is taken out of what the program prints before that is recorded.
    ///
    /// # A key of the environment, asked for in set-up
    /// ```
    /// use bowline_exec::Exec;
    /// use bowline_model::Secret;
    ///
    /// // In set-up: key: setup.secret("GEOCODER_KEY", "the key of the geocoder")
    /// let key = Secret::new("gk_51");
    /// let exec = Exec::new("./geocode").secret_env("GEOCODER_KEY", &key);
    /// ```
    pub fn secret_env(self, name: &str, value: &Secret) -> Self {
        self.with(|job| job.secrets.add(value.expose())).with_env(name, Given::Secret(value.clone()))
    }

    /// Hands a variable of this process's environment on, if it is set. A name as `API_KEY`, `TOKEN`, `PASSWORD` makes its
    /// value a secret, as that of [`secret_env`](Exec::secret_env) is.
    pub fn env_from(self, name: &str) -> Self {
        self.with_env(name, Given::Inherited)
    }

    /// Runs the program in that folder. A relative one is relative to where this process was started.
    pub fn dir(self, folder: impl Into<PathBuf>) -> Self {
        self.with(|job| job.dir = Some(folder.into()))
    }

    /// How long the program may take; 60 s unless set. Then its group gets SIGTERM, and 2 s later SIGKILL; what it did is
    /// unknown, and it is tried again. The wait for a place in the lane does not count.
    pub fn timeout(self, limit: Duration) -> Self {
        self.with(|job| job.timeout = limit)
    }

    /// How much memory each process of the program may take: its address space, with what it only reserves (`RLIMIT_AS`).
    /// How the program ends when it asks for more is its own affair; Python raises `MemoryError`.
    pub fn memory_mib(self, limit: u64) -> Self {
        self.with(|job| job.memory_mib = Some(limit))
    }

    /// Says what an exit code means: see [`ExitMeans`] for those that are not said.
    pub fn exit_code(self, code: i32, means: ExitMeans) -> Self {
        self.with(|job| job.codes.extend([(code, means)]))
    }

    /// Runs in that lane instead of the one that all programs share.
    pub fn lane(self, lane: &Lane) -> Self {
        self.with(|job| job.lane = lane.clone())
    }

    /// The program hands its key (`BOWLINE_IDEMPOTENCY_KEY`) on to something that remembers it for so long. An attempt whose
    /// outcome is unknown is not repeated after that: the run becomes a dead letter. Unless set, the program can be repeated
    /// at any time.
    pub fn key_lifetime(self, lifetime: Duration) -> Self {
        self.with(|job| job.key_lifetime = Some(lifetime))
    }

    fn with_env(self, name: &str, given: Given) -> Self {
        if name.is_empty() || name.contains(['=', '\0']) {
            return self.problem(format!("the variable name {name:?} is not one"));
        }
        self.with(|job| job.env.extend([(name.to_owned(), given)]))
    }

    fn problem(self, what: String) -> Self {
        self.with(|job| job.problem = job.problem.take().or(Some(what)))
    }

    fn with(mut self, change: impl FnOnce(&mut Job)) -> Self {
        change(Arc::make_mut(&mut self.job));
        self
    }
}

impl Job {
    /// The arguments on one line, for people; those with spaces as JSON writes them.
    fn shown_args(&self) -> String {
        let shown = |arg: &String| {
            let plain =
                !arg.is_empty() && !arg.contains(|c: char| c.is_whitespace() || c.is_control() || c == '"');
            if plain { arg.clone() } else { serde_json::Value::from(arg.as_str()).to_string() }
        };
        let all = self.args.iter().map(shown).collect::<Vec<_>>().join(" ");
        let all = self.secrets.text(&all);
        if all.len() <= SHOWN_ARGS_BYTES_MAX {
            return all;
        }
        format!("{}… (args {})", &all[..all.floor_char_boundary(SHOWN_ARGS_BYTES_MAX)], hash(all.as_bytes()))
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            api: self.program.clone(),
            method: "EXEC".into(),
            path: self.shown_args(),
            query: String::new(),
            body: if self.input.is_empty() { String::new() } else { hash(&self.input) },
        }
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..HASH_BYTES])
}

impl<T: Recorded> Effect for Exec<T> {
    type Output = T;

    fn shape(&self) -> Shape {
        let repeat = self.job.key_lifetime.map_or(Repeat::Safe, |lifetime| Repeat::Keyed { lifetime });
        Shape { fingerprint: Some(self.job.fingerprint()), repeat }
    }

    /// The program's own time, and what goes before and after it.
    fn attempt_timeout(&self) -> Option<Duration> {
        Some(self.job.timeout.saturating_add(WAIT_HERE_MAX + STOP_GRACE))
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<T> {
        attempt::attempt(&self.job, &attempt, self.read).await
    }
}

impl<T> Clone for Exec<T> {
    fn clone(&self) -> Self {
        Self { job: self.job.clone(), read: self.read, yields: PhantomData }
    }
}

/// Shows the fingerprint: no input, no environment.
impl<T> fmt::Debug for Exec<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exec({})", self.job.fingerprint())
    }
}
