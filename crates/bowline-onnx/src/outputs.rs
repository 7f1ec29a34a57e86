//! What a model answers.

use std::collections::BTreeMap;

use bowline_model::{Error, Result};
use ort::{
    session::SessionOutputs,
    value::{DynMapValueType, DynValue, TensorElementType, ValueType},
};
use serde::{Deserialize, Serialize};

/// All that a model answered, by the names of its outputs, in its order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outputs(pub Vec<(String, Tensor)>);

impl Outputs {
    /// The output of that name.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }
}

/// Values in rows and columns, or in any number of dimensions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tensor {
    /// The length of each dimension.
    pub shape: Vec<usize>,
    /// The values; the last dimension's are neighbours.
    pub values: Values,
}

/// The values of an output. What JSON cannot write (NaN, infinity) is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Values {
    /// Strings.
    Text(Vec<String>),
    /// 32-bit floats; 64-bit ones are read as the nearest.
    Numbers(Vec<Option<f32>>),
    /// Integers.
    Integers(Vec<i64>),
    /// One for each row: a value for each class (scikit-learn's ZipMap).
    Maps(Vec<BTreeMap<String, f32>>),
}

/// What a classifier says of one row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Label {
    /// The class that it chose.
    pub label: String,
    /// The probability of each class; without their names in the model (`zipmap: False`), by their numbers.
    pub probabilities: BTreeMap<String, f32>,
}

/// Copies what the runtime answered. The error is a part of a sentence: `answered …`.
pub(crate) fn read(answered: &SessionOutputs<'_>) -> Result<Outputs, String> {
    let read = |(name, value): (&str, ort::value::ValueRef<'_>)| match tensor(&value) {
        Ok(tensor) => Ok((name.to_owned(), tensor)),
        Err(error) => Err(format!("{name} in a form that is not read: {error}")),
    };
    answered.iter().map(read).collect::<Result<Vec<_>, _>>().map(Outputs)
}

fn tensor(value: &DynValue) -> ort::Result<Tensor> {
    let (ty, shape) = match value.dtype() {
        ValueType::Tensor { ty, shape, .. } => (*ty, shape),
        ValueType::Sequence(_) => return maps(value),
        other @ (ValueType::Map { .. } | ValueType::Optional(_)) => {
            return Err(ort::Error::new(format!("it is {other}")));
        }
    };
    let shape = shape.iter().map(|length| usize::try_from(*length).unwrap_or_default()).collect();
    let values = match ty {
        TensorElementType::String => Values::Text(value.try_extract_strings()?.1),
        TensorElementType::Float32 => {
            Values::Numbers(value.try_extract_tensor::<f32>()?.1.iter().copied().map(finite).collect())
        }
        TensorElementType::Float64 => {
            let numbers = value.try_extract_tensor::<f64>()?.1;
            Values::Numbers(numbers.iter().map(|number| finite(*number as f32)).collect())
        }
        TensorElementType::Int64 => Values::Integers(value.try_extract_tensor::<i64>()?.1.to_vec()),
        TensorElementType::Int32 => {
            Values::Integers(value.try_extract_tensor::<i32>()?.1.iter().map(|n| i64::from(*n)).collect())
        }
        TensorElementType::Bool => {
            Values::Integers(value.try_extract_tensor::<bool>()?.1.iter().map(|n| i64::from(*n)).collect())
        }
        other => return Err(ort::Error::new(format!("it holds {other}"))),
    };
    Ok(Tensor { shape, values })
}

fn finite(number: f32) -> Option<f32> {
    number.is_finite().then_some(number)
}

/// A sequence of maps, from text or integers to numbers.
fn maps(value: &DynValue) -> ort::Result<Tensor> {
    let rows = value.try_extract_sequence::<DynMapValueType>()?;
    let maps: Vec<BTreeMap<String, f32>> = rows
        .iter()
        .map(|row| match row.dtype() {
            ValueType::Map { key: TensorElementType::Int64, .. } => {
                let pairs = row.try_extract_key_values::<i64, f32>()?;
                Ok(pairs.into_iter().map(|(class, number)| (class.to_string(), number)).collect())
            }
            _ => Ok(row.try_extract_key_values::<String, f32>()?.into_iter().collect()),
        })
        .collect::<ort::Result<_>>()?;
    Ok(Tensor { shape: vec![maps.len()], values: Values::Maps(maps) })
}

/// Reads a classifier's two outputs.
pub(crate) fn labels(outputs: Outputs) -> Result<Vec<Label>> {
    let not_one = |why: &str| {
        Error::refused(format!("the model is no classifier: {why}; read its outputs without .labels()"))
    };
    let mut outputs = outputs.0.into_iter().map(|(_, tensor)| tensor);
    let (Some(labels), Some(probabilities)) = (outputs.next(), outputs.next()) else {
        return Err(not_one("it has not two outputs, labels and probabilities"));
    };
    let labels = match labels.values {
        Values::Text(labels) => labels,
        Values::Integers(labels) => labels.iter().map(i64::to_string).collect(),
        Values::Numbers(_) | Values::Maps(_) => return Err(not_one("its first output are no labels")),
    };
    let probabilities =
        by_row(probabilities).ok_or_else(|| not_one("its second output are no probabilities"))?;
    if labels.len() != probabilities.len() {
        return Err(not_one("it has more labels than rows of probabilities, or fewer"));
    }
    let rows = labels.into_iter().zip(probabilities);
    Ok(rows.map(|(label, probabilities)| Label { label, probabilities }).collect())
}

fn by_row(probabilities: Tensor) -> Option<Vec<BTreeMap<String, f32>>> {
    match (probabilities.values, probabilities.shape.as_slice()) {
        (Values::Maps(maps), _) => Some(maps),
        (Values::Numbers(numbers), [_, classes]) if *classes > 0 => {
            let row = |row: &[Option<f32>]| {
                let known = row
                    .iter()
                    .enumerate()
                    .filter_map(|(class, number)| Some((class.to_string(), (*number)?)));
                known.collect()
            };
            Some(numbers.chunks(*classes).map(row).collect())
        }
        (Values::Text(_) | Values::Numbers(_) | Values::Integers(_), _) => None,
    }
}
