//! A model's file, loaded.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bowline_exec::Lane;
use ort::session::Session;
use sha2::{Digest, Sha256};

use crate::{Inference, runtime::runtime};

/// The largest model file that is read: 2 GiB, as protobuf has it.
const MODEL_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// How much of the file's hash is kept: enough to tell two models apart.
const HASH_BYTES: usize = 8;

/// A model in an ONNX file, loaded. Clones share it.
///
/// One inference of a model runs at a time, on a thread of its own; ONNX Runtime spreads it over the cores. Who finds it busy
/// waits, after a moment durably.
///
/// The model is a part of what a step records: a hash of its file, or its [`version`](Model::version). A run under way whose
/// recorded inference another model made is parked, and shows both.
///
/// # From scikit-learn
/// `skl2onnx` writes such files. Two things differ silently, and are worth a test: its locale `C` makes only ASCII letters
/// lower-case, and its tokens are ASCII unless `tokenexp` says otherwise. `examples/classify` shows both.
///
/// # A classifier of tickets
/// ```no_run
/// use bowline_onnx::Model;
///
/// // In set-up: model: setup.model("tickets.onnx")
/// let model = Model::load("tickets.onnx")?;
/// // In a workflow: let labels = cx.step("classify", ...).await?; labels[0].label
/// let inference = model.infer().text("text", ["where is my parcel"]).labels();
/// # Ok::<(), bowline_onnx::LoadError>(())
/// ```
#[derive(Clone)]
pub struct Model(Arc<Inner>);

struct Inner {
    name: String,
    version: String,
    session: Result<Mutex<Session>, String>,
    lane: Lane,
}

/// Why a model cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The model's file cannot be read.
    #[error("the model {} cannot be read: {source}", path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The model's file is too large.
    #[error("the model {} has {bytes} bytes (limit {MODEL_BYTES_MAX})", path.display())]
    TooLarge {
        /// Where it is.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// ONNX Runtime is not there, or is of another version.
    #[error("{0}")]
    Runtime(String),
    /// ONNX Runtime does not take the model.
    #[error("ONNX Runtime does not take the model {}: {why}", path.display())]
    Model {
        /// Where it is.
        path: PathBuf,
        /// What it says.
        why: String,
    },
}

impl Model {
    /// Reads a model's file. ONNX Runtime is loaded from the file that `ORT_DYLIB_PATH` names, or else from where the system
    /// looks for libraries.
    ///
    /// # Errors
    /// If the file or the library is missing, or they do not fit. Says how to get the library.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::load_with(path, None)
    }

    /// As [`load`](Model::load), with ONNX Runtime from that library. The first library of a process stays.
    ///
    /// # Errors
    /// As [`load`](Model::load).
    pub fn load_with(path: impl AsRef<Path>, library: Option<&Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let file = read(path)?;
        let environment = runtime(library).map_err(LoadError::Runtime)?;
        let session =
            Session::builder(&environment).and_then(|mut builder| builder.commit_from_memory(&file));
        let session =
            session.map_err(|error| LoadError::Model { path: path.to_owned(), why: error.to_string() })?;
        Ok(Self(Arc::new(Inner {
            name: name(path),
            version: hex::encode(&Sha256::digest(&file)[..HASH_BYTES]),
            session: Ok(Mutex::new(session)),
            lane: Lane::new(1),
        })))
    }

    /// One that could not be loaded: every inference fails with that. For set-up, which collects what is missing.
    pub fn missing(path: impl AsRef<Path>, why: impl fmt::Display) -> Self {
        Self(Arc::new(Inner {
            name: name(path.as_ref()),
            version: "missing".into(),
            session: Err(why.to_string()),
            lane: Lane::new(1),
        }))
    }

    /// Records that version instead of the file's hash: a model that was trained again under the same version parks no run.
    /// The runs under way keep what they recorded, and go on with the new one.
    pub fn version(self, version: impl Into<String>) -> Self {
        let inner = Arc::try_unwrap(self.0);
        match inner {
            Ok(inner) => Self(Arc::new(Inner { version: version.into(), ..inner })),
            Err(shared) => Self(shared),
        }
    }

    /// An inference with no inputs yet.
    pub fn infer(&self) -> Inference {
        Inference::of(self.clone())
    }

    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    pub(crate) fn recorded_version(&self) -> &str {
        &self.0.version
    }

    pub(crate) fn lane(&self) -> &Lane {
        &self.0.lane
    }

    /// The session, for one at a time.
    pub(crate) fn session(&self) -> Result<MutexGuard<'_, Session>, String> {
        let session = self.0.session.as_ref().map_err(Clone::clone)?;
        Ok(session.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    let unreadable = |source| LoadError::File { path: path.to_owned(), source };
    let bytes = fs::metadata(path).map_err(unreadable)?.len();
    if bytes > MODEL_BYTES_MAX {
        return Err(LoadError::TooLarge { path: path.to_owned(), bytes });
    }
    fs::read(path).map_err(unreadable)
}

fn name(path: &Path) -> String {
    path.file_stem().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Model")
            .field("name", &self.0.name)
            .field("version", &self.0.version)
            .finish_non_exhaustive()
    }
}
