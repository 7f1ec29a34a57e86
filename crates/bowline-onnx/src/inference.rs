//! Inputs for a model, as a step runs them.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use bowline_exec::cpu;
use bowline_model::{
    Attempt, Effect, Error, Fingerprint, Recorded, Repeat, Result, Shape, Verdict, canonical,
};
use ort::{session::SessionInputValue, value::Tensor as OrtTensor};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{Label, Model, Outputs, outputs};

/// The most numbers or texts of one input.
pub const INPUT_LEN_MAX: usize = 16 * 1024 * 1024;
/// How much of the inputs' hash is kept: enough to tell two apart.
const HASH_BYTES: usize = 8;

/// One run of a [`Model`] on its inputs, described. It computes nothing until a step runs it, on a thread of its own.
///
/// Without [`labels`](Inference::labels) it yields [`Outputs`], all tensors by their names. What is wrong with the inputs is a
/// permanent failure. An attempt may take 10 minutes, unless the step says otherwise.
///
/// # Numbers in, tensors out
/// ```no_run
/// # let model = bowline_onnx::Model::load("houses.onnx")?;
/// // Two houses with three features each.
/// let inference = model.infer().numbers("features", [[120.0, 4.0, 1970.0], [85.0, 3.0, 2004.0]]);
/// # Ok::<(), bowline_onnx::LoadError>(())
/// ```
///
/// # Durability
/// What the model answered is recorded once, with the model's version and a hash of its inputs. In flight at a crash, it runs
/// again.
#[must_use = "this is only a description: hand it to a step"]
pub struct Inference<T = Outputs> {
    model: Model,
    inputs: Arc<Vec<Input>>,
    problem: Option<String>,
    read: fn(Outputs) -> Result<T>,
    yields: PhantomData<fn() -> T>,
}

/// A named input: rows of equal length.
#[derive(Clone, Serialize)]
struct Input {
    name: String,
    rows: usize,
    columns: usize,
    values: Given,
}

#[derive(Clone, Serialize)]
enum Given {
    Text(Vec<String>),
    Numbers(Vec<f32>),
    Integers(Vec<i64>),
}

impl Inference {
    pub(crate) fn of(model: Model) -> Self {
        Self { model, inputs: Arc::default(), problem: None, read: Ok, yields: PhantomData }
    }

    /// The same inference, its outputs read as those of a classifier: a label for each row, with the probability of every
    /// class.
    pub fn labels(self) -> Inference<Vec<Label>> {
        let Self { model, inputs, problem, .. } = self;
        Inference { model, inputs, problem, read: outputs::labels, yields: PhantomData }
    }
}

impl<T> Inference<T> {
    /// A column of texts: a tensor of strings, one row each.
    pub fn text<S: Into<String>>(self, name: &str, texts: impl IntoIterator<Item = S>) -> Self {
        let texts: Vec<String> = texts.into_iter().map(Into::into).collect();
        self.with(name, texts.len(), 1, Given::Text(texts))
    }

    /// Rows of numbers: a tensor of 32-bit floats.
    pub fn numbers<R: AsRef<[f32]>>(self, name: &str, rows: impl IntoIterator<Item = R>) -> Self {
        self.table(name, rows, Given::Numbers)
    }

    /// Rows of integers: a tensor of 64-bit integers.
    pub fn integers<R: AsRef<[i64]>>(self, name: &str, rows: impl IntoIterator<Item = R>) -> Self {
        self.table(name, rows, Given::Integers)
    }

    fn table<V: Clone, R: AsRef<[V]>>(
        mut self,
        name: &str,
        rows: impl IntoIterator<Item = R>,
        given: fn(Vec<V>) -> Given,
    ) -> Self {
        let (mut values, mut lengths) = (vec![], vec![]);
        for row in rows {
            values.extend_from_slice(row.as_ref());
            lengths.push(row.as_ref().len());
        }
        let columns = lengths.first().copied().unwrap_or_default();
        if let Some(other) = lengths.iter().position(|length| *length != columns) {
            self.problem.get_or_insert(format!(
                "the rows of input {name} differ: the first has {columns} values, row {other} has {}",
                lengths[other]
            ));
        }
        self.with(name, lengths.len(), columns, given(values))
    }

    fn with(mut self, name: &str, rows: usize, columns: usize, values: Given) -> Self {
        let len = rows.saturating_mul(columns);
        if len == 0 || len > INPUT_LEN_MAX {
            self.problem.get_or_insert(format!("the input {name} has {len} values (1 to {INPUT_LEN_MAX})"));
        }
        Arc::make_mut(&mut self.inputs).push(Input { name: name.to_owned(), rows, columns, values });
        self
    }
}

/// Computes, on the thread of the closure.
fn infer(model: &Model, inputs: &[Input]) -> Result<Outputs> {
    let mut session = model.session().map_err(Error::refused)?;
    let refused =
        |error: ort::Error| Error::refused(format!("the model {} refused its inputs: {error}", model.name()));
    let given = inputs.iter().map(|input| Ok((input.name.as_str(), input.tensor()?)));
    let given = given.collect::<ort::Result<Vec<_>>>().map_err(refused)?;
    let answered = session.run(given).map_err(refused)?;
    outputs::read(&answered)
        .map_err(|why| Error::refused(format!("the model {} answered {why}", model.name())))
}

impl Input {
    fn tensor(&self) -> ort::Result<SessionInputValue<'static>> {
        let shape = [self.rows, self.columns];
        Ok(match &self.values {
            Given::Text(texts) => OrtTensor::from_string_array((shape, texts.as_slice()))?.into(),
            Given::Numbers(numbers) => OrtTensor::from_array((shape, numbers.clone()))?.into(),
            Given::Integers(integers) => OrtTensor::from_array((shape, integers.clone()))?.into(),
        })
    }
}

impl<T: Recorded + 'static> Effect for Inference<T> {
    type Output = T;

    fn shape(&self) -> Shape {
        // Numbers that JSON cannot write (NaN) are null in the hash, and all the same go to the model as they are.
        let inputs = canonical::to_json(&*self.inputs).unwrap_or_default();
        let fingerprint = Fingerprint {
            api: self.model.name().to_owned(),
            method: "ONNX".into(),
            path: self.model.recorded_version().to_owned(),
            query: String::new(),
            body: hex::encode(&Sha256::digest(&inputs)[..HASH_BYTES]),
        };
        Shape { fingerprint: Some(fingerprint), repeat: Repeat::Safe }
    }

    fn attempt_timeout(&self) -> Option<Duration> {
        cpu(|| Ok(())).attempt_timeout()
    }

    async fn attempt(&self, attempt: Attempt) -> Verdict<T> {
        if let Some(problem) = &self.problem {
            return Err(Error::refused(problem)).into();
        }
        let (model, inputs, read) = (self.model.clone(), self.inputs.clone(), self.read);
        let compute = cpu(move || infer(&model, &inputs).and_then(read)).lane(self.model.lane());
        compute.attempt(attempt).await
    }
}

impl<T> Clone for Inference<T> {
    fn clone(&self) -> Self {
        let Self { model, inputs, problem, read, .. } = self;
        Self {
            model: model.clone(),
            inputs: inputs.clone(),
            problem: problem.clone(),
            read: *read,
            yields: PhantomData,
        }
    }
}

/// Shows the model and the names of its inputs; no values.
impl<T> fmt::Debug for Inference<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        f.debug_struct("Inference")
            .field("model", &self.model)
            .field("inputs", &names)
            .finish_non_exhaustive()
    }
}
