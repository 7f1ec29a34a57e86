//! A thousand labels: the same in Python itself, by a program, and in the process.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use bowline::Workflow;
use bowline_testing::{TestApp, peer::python};
use classify::{Batch, Tickets, app, by_program, here};
use serde::Deserialize;
use tempfile::TempDir;

/// Python takes longer to start than to label.
const BATCH: usize = 500;

#[derive(Deserialize)]
struct HeldOut {
    texts: Vec<String>,
    labels: Vec<String>,
}

/// A trained classifier, and what runs it.
struct Trained {
    python: PathBuf,
    runtime: String,
    folder: TempDir,
    held_out: HeldOut,
}

impl Trained {
    /// `None` where scikit-learn or ONNX Runtime are missing.
    fn new() -> Option<Self> {
        let python = python("sklearn, skl2onnx, onnxruntime")?;
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("model/train.py");
        let trained = Command::new(&python).arg(script).arg(folder.path()).status().unwrap();
        assert!(trained.success());
        let held_out = fs::read(folder.path().join("held-out.json")).unwrap();
        let runtime = runtime(&python);
        Some(Self { python, runtime, folder, held_out: serde_json::from_slice(&held_out).unwrap() })
    }

    fn app(&self) -> TestApp<Tickets> {
        TestApp::with(app())
            .env("MODEL_FOLDER", self.folder.path().display().to_string())
            .env("PYTHON", self.python.display().to_string())
            .env("ORT_DYLIB_PATH", &self.runtime)
            .build()
    }

    /// The labels that the workflow gives to all that was held out.
    fn labels(
        &self,
        app: &TestApp<Tickets>,
        workflow: &Workflow<Tickets, Batch, Vec<String>>,
    ) -> Vec<String> {
        let batches = self.held_out.texts.chunks(BATCH).map(|texts| Batch { texts: texts.to_vec() });
        batches.flat_map(|batch| app.start(workflow, &batch).end().output::<Vec<String>>()).collect()
    }
}

/// The library in the wheel of PyPI.
fn runtime(python: &Path) -> String {
    let ask = "import glob, onnxruntime, os; \
               print(glob.glob(os.path.dirname(onnxruntime.__file__) + '/capi/libonnxruntime.so*')[0])";
    let told = Command::new(python).args(["-c", ask]).output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_thousand_labels_are_the_same_in_python_by_a_program_and_in_the_process() {
    let Some(trained) = Trained::new() else {
        bowline_testing::skip!(
            "a_thousand_labels_are_the_same_in_python_by_a_program_and_in_the_process",
            "needs Python with sklearn, skl2onnx and onnxruntime"
        );
    };
    let app = trained.app();
    let HeldOut { texts, labels } = &trained.held_out;
    assert_eq!((texts.len(), labels.len()), (1000, 1000));
    assert!(texts.iter().any(|text| text.contains("ÉCRAN")), "letters that are not ASCII are among them");
    for class in ["access", "billing", "bug", "shipping"] {
        assert!(labels.iter().filter(|label| *label == class).count() > 100, "{class}");
    }
    assert_eq!(differing(&trained.labels(&app, &by_program()), labels), 0, "by a program");
    assert_eq!(differing(&trained.labels(&app, &here()), labels), 0, "in the process");
}

fn differing(found: &[String], wanted: &[String]) -> usize {
    assert_eq!(found.len(), wanted.len());
    found.iter().zip(wanted).filter(|(found, wanted)| found != wanted).count()
}
