//! An answer into a file, resumed where it broke off.
//!
//! What comes in: a call and a path. What goes out: a complete file at that path, or none that was not there before.
//! What must never happen here: a file made of two versions; a byte taken for downloaded that a crash may have lost.
//!
//! Beside the file, while it is on its way: `NAME.part` with its bytes, and `NAME.part.json` that says of which answer they
//! are and how many of them are safe on disk.

use std::{
    convert::Infallible,
    io,
    path::{Path, PathBuf},
};

use bowline_model::{Attempt, Error, Failure, Verdict};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{
        ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderName, HeaderValue,
        IF_RANGE, LAST_MODIFIED, RANGE,
    },
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::{
    fs::{self, File, OpenOptions},
    io::{AsyncSeekExt, AsyncWriteExt},
};

use crate::{Call, call::Request, flow::Flow, send::Schedule};

/// How many bytes are written between two times that they are made safe. A crash costs no more.
const SAFE_EVERY_BYTES: u64 = 16 * 1024 * 1024;
/// A longer validator is none.
const VALIDATOR_BYTES_MAX: usize = 1024;
/// A file that was changed less than this before the answer may change again within the same second (RFC 9110 §8.8.2.2).
const UNCHANGED_SECONDS_MIN: u64 = 60;

/// A download that is complete.
///
/// # What came of a download
/// ```no_run
/// # async fn f(files: bowline_client::Api) -> Result<(), bowline_model::Error> {
/// let done = files.get("/exports/7.zip").download("/srv/exports/7.zip").await?;
/// println!("{} bytes, {} of them from before; {:?}", done.bytes, done.resumed_from, done.etag);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloaded {
    /// How many bytes the file has.
    pub bytes: u64,
    /// How many of them were there before the last request.
    pub resumed_from: u64,
    /// The remote's name for this version, as it wrote it.
    pub etag: Option<String>,
}

impl<T> Call<T> {
    /// Sends the call, and writes its answer's body to a file, which is there when it is complete and not before: what is
    /// on its way is in `PATH.part`.
    ///
    /// What broke off is resumed where it stood (`Range`), by the Api's retry schedule, and by the next program that asks
    /// for the same download after this one died: if the remote can, and if it still has the same version (`If-Range` with
    /// a strong `ETag`, or a `Last-Modified` that is a minute old). Otherwise it begins anew. Only what was made safe on disk
    /// is resumed from: a crash costs 16 MiB at most.
    ///
    /// The body is asked for as it is stored; one that comes encoded is decoded and never resumed. It is checked for its
    /// length, where the remote tells it; an existing file at the path is replaced. One download per path at a time.
    ///
    /// Limits: [`Api::stream_bytes_max`](crate::Api::stream_bytes_max),
    /// [`Api::stream_idle_timeout`](crate::Api::stream_idle_timeout).
    ///
    /// # Durability
    /// A crash before the end leaves the `.part`, from which the same call goes on. After it the file is on disk under its
    /// name, and a repeated call downloads it again.
    ///
    /// # Errors
    /// The last attempt's failure; a file that cannot be written.
    ///
    /// # A large file
    /// ```no_run
    /// # async fn f(files: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// files.get("/exports/7.zip").download("/srv/exports/7.zip").await?;
    /// # Ok(()) }
    /// ```
    pub async fn download(self, path: impl AsRef<Path>) -> Result<Downloaded, Error> {
        let place = Place::of(path.as_ref())?;
        let asked = self.identity();
        let mut schedule = Schedule::new(self.api(), self.repeat());
        loop {
            let verdict = match self.download_once(&schedule.attempt(), &place, &asked).await {
                Ok(downloaded) => Verdict::Done(downloaded),
                Err(stopped) => stopped.into_verdict(),
            };
            if let Some(downloaded) = schedule.after(verdict).await? {
                return Ok(downloaded);
            }
        }
    }

    /// What tells this download from others that had the same path.
    fn identity(&self) -> String {
        hex::encode(Sha256::digest(format!("{} {self:?}", self.api().account_name())))
    }

    async fn download_once(
        &self,
        attempt: &Attempt,
        place: &Place,
        asked: &str,
    ) -> Result<Downloaded, Stopped> {
        let kept = place.kept(asked).await?.filter(|_| self.request().method == Method::GET);
        match self.go_on(attempt, place, asked, kept.as_ref()).await {
            // At once: what is there is of no use, and nobody has failed.
            Ok(None) => {
                self.go_on(attempt, place, asked, None).await?.ok_or_else(|| Stopped::Failed(strange(place)))
            }
            Ok(Some(downloaded)) => Ok(downloaded),
            Err(stopped) => Err(stopped),
        }
    }

    /// `None`: what is there does not go with the answer, and was thrown away.
    async fn go_on(
        &self,
        attempt: &Attempt,
        place: &Place,
        asked: &str,
        kept: Option<&State>,
    ) -> Result<Option<Downloaded>, Stopped> {
        let mut request = self.request().clone();
        request.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(kept) = kept {
            resume(&mut request, kept);
        }
        let flow = Flow::open(self.api(), &request, attempt, |status| matches!(status, 200 | 206 | 416));
        let flow = flow.await.map_err(Stopped::Judged)?;
        match (begin(&flow, kept), kept) {
            (Begin::Complete, Some(kept)) => Ok(Some(place.finish(kept.clone()).await?)),
            (Begin::At(start, state), _) => {
                let state = State { asked: asked.to_owned(), ..state };
                self.receive(flow, place, start, state).await.map(Some)
            }
            (Begin::Anew, Some(_)) => {
                place.clear().await?;
                Ok(None)
            }
            (Begin::Anew | Begin::Complete, None) => {
                Err(Stopped::Failed(flow.failure(": a part, where all was asked for").permanent()))
            }
        }
    }

    /// Writes the body behind the first `start` bytes.
    async fn receive(
        &self,
        mut flow: Flow,
        place: &Place,
        start: u64,
        mut state: State,
    ) -> Result<Downloaded, Stopped> {
        let bytes_max = self.api().settings().stream_bytes_max;
        if let Some(total) = state.total.filter(|total| *total > bytes_max) {
            let hint = "if it is meant to be, raise .stream_bytes_max";
            let what = format!(", but its body has {total} bytes (limit {bytes_max}): {hint}");
            return Err(Stopped::Failed(flow.failure(&what).permanent()));
        }
        let mut part = place.open_part(start).await?;
        state.bytes = start;
        // Before the first byte: what is there of another version is none of this one.
        place.remember(&state).await?;
        let mut unsafe_bytes = 0;
        let ended = loop {
            match flow.chunk().await {
                Ok(Some(chunk)) => {
                    write(&mut part, &chunk, place).await?;
                    state.bytes += chunk.len() as u64;
                    unsafe_bytes += chunk.len() as u64;
                    if state.bytes > bytes_max {
                        let what = format!(
                            ", but with what was there before, its body is larger than {bytes_max} bytes"
                        );
                        break Err(flow.failure(&what).permanent());
                    }
                }
                Ok(None) => break Ok(()),
                Err(failure) => break Err(failure),
            }
            if unsafe_bytes >= SAFE_EVERY_BYTES {
                place.make_safe(&mut part, &state).await?;
                unsafe_bytes = 0;
            }
        };
        place.make_safe(&mut part, &state).await?;
        ended.map_err(Stopped::Failed)?;
        match state.total.filter(|total| *total != state.bytes) {
            Some(total) => {
                place.clear().await?;
                let what = format!(", but its body has {} bytes where {total} were announced", state.bytes);
                Err(Stopped::Failed(flow.failure(&what)))
            }
            None => Ok(Downloaded { resumed_from: start, ..place.finish(state).await? }),
        }
    }
}

fn strange(place: &Place) -> Failure {
    Failure::unknown(format!("{} was begun anew, and fits no answer", place.part.display()))
}

/// Asks for the rest, if the remote still has the same version.
fn resume(request: &mut Request, kept: &State) {
    let Some(validator) = kept.validator.as_ref().and_then(|text| HeaderValue::from_str(text).ok()) else {
        return;
    };
    let range = format!("bytes={}-", kept.bytes);
    request.headers.insert(RANGE, HeaderValue::try_from(range).expect("digits"));
    request.headers.insert(IF_RANGE, validator);
}

/// What an answer is good for.
#[derive(Debug, PartialEq, Eq)]
enum Begin {
    /// What is there is all of it.
    Complete,
    /// Its bytes come behind so many that are there.
    At(u64, State),
    /// It does not go with what is there.
    Anew,
}

fn begin(flow: &Flow, kept: Option<&State>) -> Begin {
    let state = |total| State {
        validator: validator(&flow.headers).filter(|_| flow.is_plain()),
        etag: text(&flow.headers, &ETAG),
        total: total_of(flow.is_plain(), total),
        ..State::default()
    };
    match (flow.status, kept) {
        (200, _) => Begin::At(0, state(length(&flow.headers))),
        // Only of the same version is the range looked at: of another one all would have come.
        (416, Some(kept)) if range(&flow.headers) == Some((None, Some(kept.bytes))) => Begin::Complete,
        (206, Some(kept)) => {
            let new = state(range(&flow.headers).and_then(|(_, total)| total));
            let is_rest = range(&flow.headers).and_then(|(start, _)| start) == Some(kept.bytes);
            let is_other = (new.etag.is_some() && new.etag != kept.etag) || differ(new.total, kept.total);
            if !flow.is_plain() || !is_rest || is_other {
                return Begin::Anew;
            }
            let total = new.total.or(kept.total);
            Begin::At(kept.bytes, State { total, ..kept.clone() })
        }
        _ => Begin::Anew,
    }
}

fn differ(one: Option<u64>, other: Option<u64>) -> bool {
    matches!((one, other), (Some(one), Some(other)) if one != other)
}

fn total_of(is_plain: bool, total: Option<u64>) -> Option<u64> {
    total.filter(|_| is_plain)
}

/// What names the version for certain: a strong `ETag`, or a time that is long enough ago.
fn validator(headers: &HeaderMap) -> Option<String> {
    if let Some(etag) = text(headers, &ETAG) {
        return Some(etag).filter(|etag| etag.starts_with('"'));
    }
    let modified = text(headers, &LAST_MODIFIED)?;
    let time = |text: &str| httpdate::parse_http_date(text).ok();
    let age = time(&text(headers, &DATE)?)?.duration_since(time(&modified)?).ok()?;
    (age.as_secs() >= UNCHANGED_SECONDS_MIN).then_some(modified)
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= VALIDATOR_BYTES_MAX).then(|| text.to_owned())
}

fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.parse().ok()
}

/// `bytes 7-99/100`, `bytes */100`: where the part begins, and the whole length.
fn range(headers: &HeaderMap) -> Option<(Option<u64>, Option<u64>)> {
    let text = text(headers, &CONTENT_RANGE)?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split_once('-').and_then(|(start, _)| start.parse().ok());
    Some((start, total.parse().ok()))
}

/// What is known of a part: what its sidecar holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The call.
    asked: String,
    /// What `If-Range` is asked with. Without one nothing is resumed.
    validator: Option<String>,
    etag: Option<String>,
    total: Option<u64>,
    /// How many bytes are safe on disk.
    bytes: u64,
}

/// Where everything is.
struct Place {
    whole: PathBuf,
    part: PathBuf,
    sidecar: PathBuf,
}

/// Why an attempt did not end in a file.
enum Stopped {
    Judged(Verdict<Infallible>),
    Failed(Failure),
    Disk(Failure),
}

impl Stopped {
    fn into_verdict<T>(self) -> Verdict<T> {
        match self {
            Self::Judged(verdict) => verdict.map(|never| match never {}),
            Self::Failed(failure) | Self::Disk(failure) => Verdict::Unknown(failure),
        }
    }
}

impl From<Failure> for Stopped {
    fn from(failure: Failure) -> Self {
        Self::Disk(failure)
    }
}

/// A disk that is full, a folder that is missing: trying again at once would not help, and the call is not to blame.
fn disk(path: &Path, error: &io::Error) -> Failure {
    Failure::unknown(format!("{} cannot be written: {error}", path.display())).permanent()
}

impl Place {
    fn of(path: &Path) -> Result<Self, Error> {
        let beside = |end: &str| {
            let mut name = path.file_name()?.to_owned();
            name.push(end);
            Some(path.with_file_name(name))
        };
        match (beside(".part"), beside(".part.json")) {
            (Some(part), Some(sidecar)) => Ok(Self { whole: path.to_owned(), part, sidecar }),
            (None, _) | (_, None) => Err(Error::refused(format!("{} names no file", path.display()))),
        }
    }

    /// What is there of the same download, and can be resumed.
    async fn kept(&self, asked: &str) -> Result<Option<State>, Failure> {
        let Ok(text) = fs::read(&self.sidecar).await else { return Ok(None) };
        let Ok(state) = serde_json::from_slice::<State>(&text) else { return Ok(None) };
        let there = fs::metadata(&self.part).await.map_or(0, |part| part.len());
        let fits = state.asked == asked && state.validator.is_some() && (1..=there).contains(&state.bytes);
        Ok(fits.then_some(state))
    }

    /// The part, its first `start` bytes kept and nothing else.
    async fn open_part(&self, start: u64) -> Result<File, Failure> {
        let told = |error: io::Error| disk(&self.part, &error);
        let mut part = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&self.part)
            .await
            .map_err(told)?;
        part.set_len(start).await.map_err(told)?;
        part.seek(io::SeekFrom::Start(start)).await.map_err(told)?;
        Ok(part)
    }

    /// Makes what was written safe, and then says so.
    async fn make_safe(&self, part: &mut File, state: &State) -> Result<(), Failure> {
        let told = |error: io::Error| disk(&self.part, &error);
        part.flush().await.map_err(told)?;
        part.sync_data().await.map_err(told)?;
        self.remember(state).await
    }

    async fn remember(&self, state: &State) -> Result<(), Failure> {
        let told = |error: io::Error| disk(&self.sidecar, &error);
        let text = serde_json::to_vec(state).expect("texts and numbers");
        let mut new = self.sidecar.clone().into_os_string();
        new.push(".new");
        fs::write(&new, text).await.map_err(told)?;
        fs::rename(&new, &self.sidecar).await.map_err(told)
    }

    async fn clear(&self) -> Result<(), Failure> {
        for path in [&self.sidecar, &self.part] {
            match fs::remove_file(path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk(path, &error)),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Gives the file its name.
    async fn finish(&self, state: State) -> Result<Downloaded, Failure> {
        let told = |error: io::Error| disk(&self.whole, &error);
        let part = OpenOptions::new().write(true).open(&self.part).await.map_err(told)?;
        part.set_len(state.bytes).await.map_err(told)?;
        part.sync_all().await.map_err(told)?;
        fs::rename(&self.part, &self.whole).await.map_err(told)?;
        // The name is in the folder: without this a crash may forget it.
        let folder =
            self.whole.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if let Ok(folder) = File::open(folder).await {
            folder.sync_all().await.map_err(told)?;
        }
        self.clear().await?;
        Ok(Downloaded { bytes: state.bytes, resumed_from: state.bytes, etag: state.etag })
    }
}

async fn write(part: &mut File, chunk: &Bytes, place: &Place) -> Result<(), Failure> {
    part.write_all(chunk).await.map_err(|error| disk(&place.part, &error))
}
