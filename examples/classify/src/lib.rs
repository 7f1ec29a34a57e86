//! Support tickets are labelled by a scikit-learn classifier, in two ways that give the same labels.
//!
//! `model/train.py FOLDER` makes the classifier. The workflow `label-by-program` runs `model/score.py`, Python as it is;
//! `label-here` asks the same classifier in this process, exported to ONNX. The one takes any Python there is, the other
//! no Python and a thousandth of the time.

use std::path::{Path, PathBuf};

use bowline::{Workflow, onnx::Model, prelude::*};

/// What the workflows use.
pub struct Tickets {
    python: String,
    /// Where `train.py` left its model.
    folder: PathBuf,
    model: Model,
}

/// Tickets that came in together.
#[derive(Debug, Clone, Serialize, Deserialize, garde::Validate)]
pub struct Batch {
    /// What people wrote.
    #[garde(length(min = 1, max = 1000), inner(length(min = 1, max = 20_000)))]
    pub texts: Vec<String>,
}

impl Batch {
    /// The classifier was trained on lower-case texts: see `train.py`.
    fn lower_case(&self) -> Vec<String> {
        self.texts.iter().map(|text| text.to_lowercase()).collect()
    }
}

impl Tickets {
    /// Labels a batch by a program.
    async fn label_by_program(self: Arc<Self>, cx: Context, batch: Batch) -> Result<Vec<String>> {
        let score = Exec::new(&self.python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("model/score.py").display())
            .arg("model.joblib")
            .dir(&self.folder)
            .json(&batch.lower_case())
            // NumPy reserves much more than it takes.
            .memory_mib(4096)
            .timeout(minutes(2));
        cx.step("score", score.decode()).await
    }

    /// Labels a batch in this process.
    async fn label_here(self: Arc<Self>, cx: Context, batch: Batch) -> Result<Vec<String>> {
        let labels =
            cx.step("classify", self.model.infer().text("text", batch.lower_case()).labels()).await?;
        Ok(labels.into_iter().map(|found| found.label).collect())
    }
}

/// The workflow that runs Python.
pub fn by_program() -> Workflow<Tickets, Batch, Vec<String>> {
    workflow("label-by-program", Tickets::label_by_program)
}

/// The workflow that needs none.
pub fn here() -> Workflow<Tickets, Batch, Vec<String>> {
    workflow("label-here", Tickets::label_here)
}

/// The app: for `main` and for tests.
pub fn app() -> App<Tickets> {
    App::new("classify", |setup| {
        let folder = PathBuf::from(setup.variable("MODEL_FOLDER", "where train.py left its model"));
        Tickets {
            python: setup.optional_variable("PYTHON").unwrap_or_else(|| "python3".into()),
            model: setup.model(folder.join("tickets.onnx")),
            folder,
        }
    })
    .version(env!("CARGO_PKG_VERSION"))
    .post(
        "/tickets",
        Post::api_key_env("X-Api-Key", "TICKETS_API_KEY").or_open().start(here()).wait(secs(10)),
    )
    .workflow(by_program())
}
