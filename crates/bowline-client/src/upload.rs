//! Bodies that are larger than memory: files, and streams.
//!
//! What comes in: paths, streams. What goes out: requests that say how long they are, where that is known. What must
//! never happen here: half a file, or one that changed while it was sent, that arrives as a complete request.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use bowline_model::{Error, Verdict};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream::try_unfold};
use sha2::{Digest, Sha256};
use tokio::{fs::File, io::AsyncReadExt, sync::Mutex};

use crate::{Call, body::Body, multipart::Multipart, send::Schedule};

/// How much of a file is in memory at a time.
const CHUNK_BYTES: usize = 64 * 1024;

impl<T> Call<T> {
    /// Sets the body to a file. It is opened anew for every attempt and read while it is sent; its length is told
    /// beforehand.
    ///
    /// The file must stay as it is until the call is done: where its length or its time of modification changes between
    /// attempts or while it is sent, the call fails, for the remote may know the first version under the same key. The
    /// file may be gone after that.
    ///
    /// A signature that wants the whole body finds none. An idempotency key goes into a header only.
    ///
    /// # Durability
    /// The fingerprint holds the path, not what is in the file: that is neither read nor recorded, and what changes
    /// between a crash and the next attempt goes unnoticed.
    ///
    /// # A report
    /// ```
    /// use bowline_client::Api;
    ///
    /// let crm = Api::new("crm").base_url("https://crm.example.com");
    /// let call = crm.post("/files").query("name", "report").file("/srv/reports/7.pdf", "application/pdf");
    /// ```
    pub fn file(self, path: impl Into<PathBuf>, content_type: &str) -> Self {
        let parts = Parts::new(vec![Part::File(path.into())], Seen::default());
        self.with_content(Body::Parts(Arc::new(parts))).header("content-type", content_type)
    }

    /// Sets the body to a form with files (`multipart/form-data`, RFC 7578). See [`Multipart`].
    ///
    /// # Durability
    /// The fingerprint holds names, texts and bytes; of a file on disk the path, as with [`file`](Call::file).
    ///
    /// # A form
    /// ```
    /// use bowline_client::{Api, Multipart};
    ///
    /// let crm = Api::new("crm").base_url("https://crm.example.com");
    /// let form = Multipart::new().text("kind", "invoice").file("document", "/srv/7.pdf", "application/pdf");
    /// let call = crm.post("/documents").multipart(form);
    /// ```
    pub fn multipart(self, form: Multipart) -> Self {
        match form.problem() {
            Some(problem) => {
                let problem = problem.to_owned();
                self.problem(problem)
            }
            None => self.with_content(Body::Form(Arc::new(form))),
        }
    }

    /// Sends the call with that stream as its body, once: a stream cannot be read again, so there is no further attempt,
    /// whatever comes of the first. Waits for limits and tokens come before it.
    ///
    /// All of it, the upload included, is one attempt: its time is [`Api::attempt_timeout`](crate::Api::attempt_timeout).
    /// The stream's length is not known beforehand (`Transfer-Encoding: chunked` in HTTP/1.1). If it fails, the request
    /// is broken off.
    ///
    /// # Durability
    /// None: a crash forgets it all. In steps, send files.
    ///
    /// # Errors
    /// The failure of the attempt. [`Error::is_unknown`] says whether the call may have had its effect all the same.
    ///
    /// # Lines as they are made
    /// ```no_run
    /// # async fn f(crm: bowline_client::Api) -> Result<(), bowline_model::Error> {
    /// let lines = futures_util::stream::iter((0..1000).map(|id| Ok(format!("{id}\n").into())));
    /// crm.post("/import").send_stream(lines, "text/plain").await?;
    /// # Ok(()) }
    /// ```
    pub async fn send_stream<S>(self, stream: S, content_type: &str) -> Result<T, Error>
    where
        S: Stream<Item = Result<Bytes, io::Error>> + Send + 'static,
    {
        let body = Body::Stream(Arc::new(Mutex::new(Some(stream.boxed()))));
        let call = self.with_content(body).header("content-type", content_type);
        let mut schedule = Schedule::new(call.api(), call.repeat());
        loop {
            match call.attempt_once(&schedule.attempt()).await {
                Verdict::Done(value) => return Ok(value),
                Verdict::Wait { wait, why } => {
                    schedule.after(Verdict::<T>::Wait { wait, why }).await?;
                }
                Verdict::RetryAfter(failure) | Verdict::Refused(failure) | Verdict::Unknown(failure) => {
                    return Err(failure.into());
                }
            }
        }
    }
}

/// A part of a body.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    Bytes(Bytes),
    File(PathBuf),
}

impl Part {
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::File(_) => None,
        }
    }

    /// What tells it from another one. The length first, so that no two lists of parts look alike.
    pub(crate) fn digest(&self, digest: &mut Sha256) {
        let (kind, content) = match self {
            Self::Bytes(bytes) => (b'b', &bytes[..]),
            Self::File(path) => (b'f', path.as_os_str().as_encoded_bytes()),
        };
        digest.update([kind]);
        digest.update((content.len() as u64).to_be_bytes());
        digest.update(content);
    }
}

/// The parts of a body.
pub(crate) struct Parts {
    parts: Vec<Part>,
    seen: Seen,
}

/// Each file of a body, as it was at the first attempt.
pub(crate) type Seen = Arc<OnceLock<Vec<Version>>>;

/// What a change of a file changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Version {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl Version {
    async fn of(path: &Path) -> Result<Self, String> {
        let told = |error: io::Error| format!("the file {} cannot be read: {error}", path.display());
        let metadata = tokio::fs::metadata(path).await.map_err(told)?;
        if !metadata.is_file() {
            return Err(format!("{} is not a file", path.display()));
        }
        Ok(Self { bytes: metadata.len(), modified: metadata.modified().ok() })
    }
}

impl Parts {
    pub(crate) fn new(parts: Vec<Part>, seen: Seen) -> Self {
        Self { parts, seen }
    }

    pub(crate) fn fingerprint(&self) -> Vec<u8> {
        let mut digest = Sha256::new();
        self.parts.iter().for_each(|part| part.digest(&mut digest));
        digest.finalize().to_vec()
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.parts.iter().filter_map(|part| match part {
            Part::File(path) => Some(path),
            Part::Bytes(_) => None,
        })
    }

    /// The whole length, if the files are what they were at the first attempt.
    pub(crate) async fn look(&self) -> Result<u64, String> {
        let mut now = vec![];
        for path in self.files() {
            now.push(Version::of(path).await?);
        }
        let seen = self.seen.get_or_init(|| now.clone());
        for ((path, now), seen) in self.files().zip(&now).zip(seen) {
            if now != seen {
                return Err(format!(
                    "the file {} changed since the first attempt ({} bytes then, {} now), and the remote may know \
                     what was sent first under the same key: make it a new call",
                    path.display(),
                    seen.bytes,
                    now.bytes
                ));
            }
        }
        let in_memory: u64 = self.parts.iter().filter_map(Part::bytes).map(|bytes| bytes.len() as u64).sum();
        Ok(in_memory + now.iter().map(|version| version.bytes).sum::<u64>())
    }
}

/// Where reading the parts stands.
struct Reading {
    parts: Arc<Parts>,
    nth: usize,
    files: usize,
    open: Option<Open>,
}

struct Open {
    file: File,
    left: u64,
}

/// The parts' bytes, one behind the other.
pub(crate) fn flow_of(parts: Arc<Parts>) -> impl Stream<Item = Result<Bytes, io::Error>> + Send {
    let reading = Reading { parts, nth: 0, files: 0, open: None };
    try_unfold(reading, |mut reading| async move { Ok(reading.next().await?.map(|bytes| (bytes, reading))) })
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, io::Error> {
        while let Some(part) = self.parts.parts.get(self.nth) {
            let bytes = match part {
                Part::Bytes(bytes) => {
                    self.nth += 1;
                    bytes.clone()
                }
                Part::File(path) => {
                    let path = path.clone();
                    self.piece(&path).await?
                }
            };
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// The next piece of a file. The last one is handed on only if the file is still what it was: so that a remote never
    /// receives all of a mixture.
    async fn piece(&mut self, path: &Path) -> Result<Bytes, io::Error> {
        let changed = || io::Error::other(format!("the file {} changed while it was sent", path.display()));
        let seen =
            self.parts.seen.get().and_then(|seen| seen.get(self.files)).copied().ok_or_else(changed)?;
        let open = match &mut self.open {
            Some(open) => open,
            None => self.open.insert(Open { file: File::open(path).await?, left: seen.bytes }),
        };
        let wanted = usize::try_from(open.left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let mut piece = BytesMut::zeroed(wanted);
        open.file.read_exact(&mut piece).await.map_err(|_| changed())?;
        open.left -= wanted as u64;
        if open.left == 0 {
            if Version::of(path).await != Ok(seen) {
                return Err(changed());
            }
            self.open = None;
            self.nth += 1;
            self.files += 1;
        }
        Ok(piece.freeze())
    }
}
