//! Models as scikit-learn exports them, and what goes wrong with them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use bowline_model::{Attempt, Effect, Failure, Verdict};
use bowline_onnx::{LIBRARY_VARIABLE, LoadError, Model, Values};
use bowline_testing::peer::python;
use tempfile::TempDir;

/// A regression that doubles and adds, a classifier of integers without names, one of texts, and one that takes integers.
const MAKE: &str = r#"
import sys
import numpy
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType
from sklearn.linear_model import LinearRegression, LogisticRegression
folder = sys.argv[1]
rows = numpy.array([[0, 0], [1, 0], [0, 1], [3, 5]], dtype=numpy.float32)
def save(name, model, of=FloatTensorType, **options):
    onnx = to_onnx(model, initial_types=[("rows", of([None, 2]))], target_opset=17, **options)
    open(f"{folder}/{name}.onnx", "wb").write(onnx.SerializeToString())
save("sums", LinearRegression().fit(rows, rows @ [2, 1] + 10))
numbered = LogisticRegression().fit(rows, [0, 1, 1, 1])
save("numbered", numbered, options={id(numbered): {"zipmap": False}})
save("named", LogisticRegression().fit(rows, ["low", "high", "high", "high"]))
save("counts", LinearRegression().fit(rows, rows @ [1, 1]), of=Int64TensorType)
"#;

/// The models, made once; `None` where the peers are missing. ONNX Runtime is loaded with the first of them.
fn models() -> Option<&'static Path> {
    static MODELS: OnceLock<Option<TempDir>> = OnceLock::new();
    let made = MODELS.get_or_init(|| {
        let python = python("sklearn, skl2onnx, onnxruntime")?;
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new(python).args(["-c", MAKE]).arg(folder.path()).status();
        assert!(status.unwrap().success());
        Some(folder)
    });
    made.as_ref().map(TempDir::path)
}

/// The library in the wheel of PyPI.
fn library() -> PathBuf {
    let ask = "import glob, onnxruntime, os; \
               print(glob.glob(os.path.dirname(onnxruntime.__file__) + '/capi/libonnxruntime.so*')[0])";
    let told = Command::new(python("onnxruntime").unwrap()).args(["-c", ask]).output().unwrap();
    String::from_utf8(told.stdout).unwrap().trim().into()
}

macro_rules! model {
    ($test:literal, $name:literal) => {
        match models() {
            Some(folder) => Model::load_with(folder.join($name), Some(&library())).unwrap(),
            None => bowline_testing::skip!($test, "needs Python with sklearn, skl2onnx and onnxruntime"),
        }
    };
}

async fn attempt<E: Effect>(effect: &E) -> Verdict<E::Output> {
    loop {
        match effect.attempt(Attempt::new("key", 1, Duration::from_secs(60))).await {
            Verdict::Wait { .. } => {}
            verdict => return verdict,
        }
    }
}

async fn done<E: Effect>(effect: &E) -> E::Output {
    match attempt(effect).await {
        Verdict::Done(output) => output,
        verdict => panic!("{:?}", verdict.map(drop)),
    }
}

async fn refused<E: Effect>(effect: &E) -> Failure {
    match attempt(effect).await {
        Verdict::Refused(failure) => failure,
        verdict => panic!("{:?}", verdict.map(drop)),
    }
}

#[tokio::test]
async fn numbers_go_in_and_tensors_come_out() {
    let sums = model!("numbers_go_in_and_tensors_come_out", "sums.onnx");
    let outputs = done(&sums.infer().numbers("rows", [[1.0, 1.0], [10.0, 0.5]])).await;
    let tensor = outputs.get("variable").unwrap();
    assert_eq!(tensor.shape, [2, 1]);
    let Values::Numbers(numbers) = &tensor.values else { panic!("{tensor:?}") };
    let near = |found: Option<f32>, wanted: f32| (found.unwrap() - wanted).abs() < 1e-3;
    assert!(near(numbers[0], 13.0) && near(numbers[1], 30.5), "{numbers:?}");
    let nothing = done(&sums.infer().numbers("rows", [[f32::NAN, 1.0]])).await;
    assert_eq!(
        nothing.get("variable").unwrap().values,
        Values::Numbers(vec![None]),
        "what JSON cannot write"
    );
    let counts = model!("numbers_go_in_and_tensors_come_out", "counts.onnx");
    assert!(matches!(
        done(&counts.infer().integers("rows", [[3, 4]])).await.0[0].1.values,
        Values::Numbers(_)
    ));
}

#[tokio::test]
async fn a_classifier_has_labels_with_and_without_names() {
    let named = model!("a_classifier_has_labels_with_and_without_names", "named.onnx");
    let rows = [[0.0, 0.0], [9.0, 9.0]];
    let labels = done(&named.infer().numbers("rows", rows).labels()).await;
    assert_eq!((labels.len(), labels[1].label.as_str()), (2, "high"));
    assert!(labels[1].probabilities["high"] > 0.99 && labels[1].probabilities.len() == 2);
    let numbered = model!("a_classifier_has_labels_with_and_without_names", "numbered.onnx");
    let numbers = done(&numbered.infer().numbers("rows", rows).labels()).await;
    assert_eq!(numbers[1].label, "1");
    assert!((numbers[1].probabilities["1"] - labels[1].probabilities["high"]).abs() < 1e-5);
    let sums = model!("a_classifier_has_labels_with_and_without_names", "sums.onnx");
    let failure = refused(&sums.infer().numbers("rows", rows).labels()).await;
    assert!(failure.message.starts_with("the model is no classifier: it has not two outputs"), "{failure}");
}

#[tokio::test]
async fn inputs_that_do_not_fit_are_permanent_failures() {
    let sums = model!("inputs_that_do_not_fit_are_permanent_failures", "sums.onnx");
    for (inference, why) in [
        (
            sums.infer().numbers("rows", [vec![1.0, 2.0], vec![3.0]]),
            "the rows of input rows differ: the first has 2 values, row 1 has 1",
        ),
        (sums.infer().numbers::<[f32; 2]>("rows", []), "the input rows has 0 values"),
        (sums.infer().numbers("columns", [[1.0, 2.0]]), "the model sums refused its inputs: "),
        (sums.infer().text("rows", ["one"]), "the model sums refused its inputs: "),
        (sums.infer().numbers("rows", [[1.0, 2.0, 3.0]]), "the model sums refused its inputs: "),
        (sums.infer(), "the model sums refused its inputs: "),
    ] {
        let failure = refused(&inference).await;
        assert!(failure.message.starts_with(why) && !failure.retryable, "{failure}");
    }
}

#[test]
fn a_step_records_which_model_it_asked_and_what() {
    let sums = model!("a_step_records_which_model_it_asked_and_what", "sums.onnx");
    let named = model!("a_step_records_which_model_it_asked_and_what", "named.onnx");
    let ask = |model: &Model, row| model.infer().numbers("rows", [row]).shape().fingerprint.unwrap();
    let recorded = ask(&sums, [1.0, 2.0]);
    assert_eq!((recorded.method.as_str(), recorded.api.as_str(), recorded.path.len()), ("ONNX", "sums", 16));
    assert_eq!(ask(&sums, [1.0, 2.0]), recorded);
    assert_ne!(ask(&sums, [1.0, 2.5]), recorded, "another input");
    assert_ne!(ask(&named, [1.0, 2.0]).path, recorded.path, "another model");
    assert_eq!(ask(&named.version("2026-11"), [1.0, 2.0]).path, "2026-11");
}

#[test]
fn a_file_that_is_missing_or_no_model_says_so() {
    let missing = Model::load("/no/such/model.onnx").unwrap_err();
    assert!(missing.to_string().starts_with("the model /no/such/model.onnx cannot be read: "), "{missing}");
    if models().is_none() {
        bowline_testing::skip!("a_file_that_is_missing_or_no_model_says_so", "needs Python with onnxruntime");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text.onnx");
    std::fs::write(&path, "no model").unwrap();
    let error = Model::load_with(&path, Some(&library())).unwrap_err();
    assert!(matches!(error, LoadError::Model { .. }), "{error}");
}

#[tokio::test]
async fn a_model_that_was_missing_at_set_up_fails_every_step() {
    let missing = Model::missing("models/tickets.onnx", "the model cannot be read");
    let failure = refused(&missing.infer().text("text", ["where is it"])).await;
    assert_eq!((failure.message.as_str(), failure.retryable), ("the model cannot be read", false));
}

/// In a process of its own: the first library of a process stays.
#[test]
fn a_missing_library_says_which_variable_names_it_and_how_to_get_it() {
    const ROLE: &str = "BOWLINE_ONNX_TEST_MODEL";
    if let Some(model) = env::var_os(ROLE) {
        panic!("{}", Model::load(model).unwrap_err());
    }
    let model = tempfile::NamedTempFile::new().unwrap();
    let said = |library: Option<&str>| {
        let mut test = Command::new(env::current_exe().unwrap());
        test.args([
            "--exact",
            "a_missing_library_says_which_variable_names_it_and_how_to_get_it",
            "--nocapture",
        ]);
        test.env(ROLE, model.path()).env_remove(LIBRARY_VARIABLE);
        library.map(|library| test.env(LIBRARY_VARIABLE, library));
        let output = test.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let hint = "set ORT_DYLIB_PATH to its library. It is in PyPI's package onnxruntime: `pip download --no-deps onnxruntime`";
    let named = said(Some("/no/such/libonnxruntime.so"));
    assert!(
        named.contains("ORT_DYLIB_PATH is /no/such/libonnxruntime.so, and there is no such file")
            && named.contains(hint),
        "{named}"
    );
    let none = said(None);
    assert!(none.contains("ORT_DYLIB_PATH is not set, and ") && none.contains(hint), "{none}");
    let other = said(Some(&env::current_exe().unwrap().display().to_string()));
    assert!(other.contains("ONNX Runtime cannot be loaded: ") && other.contains(hint), "{other}");
}
