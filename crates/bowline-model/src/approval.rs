//! A question to a person: what is asked, who should answer, which fields the answer has; and the answer.
//!
//! What comes in: a workflow's question, as data, and what somebody fills in. What goes out: a [`Decision`] whose values
//! fit the question. What must never happen here: a value that no field declared, or one past its limit.

mod check;

use std::fmt;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

pub use self::check::{WrongQuestion, WrongValue};

/// Longest question, in characters.
pub const QUESTION_CHARS_MAX: usize = 4_000;
/// Longest name of an approver, in characters.
pub const APPROVER_CHARS_MAX: usize = 200;
/// The most fields of one question.
pub const FIELDS_MAX: usize = 30;
/// Longest name of a field, in bytes: letters, digits, `_` and `-`.
pub const FIELD_NAME_BYTES_MAX: usize = 64;
/// Longest label, and longest option of a choice, in characters.
pub const LABEL_CHARS_MAX: usize = 200;
/// The most options of one choice.
pub const OPTIONS_MAX: usize = 100;
/// Longest text of a field that says no limit of its own, in characters.
pub const TEXT_CHARS_DEFAULT: usize = 2_000;
/// The highest limit that a text field can have, in characters.
pub const TEXT_CHARS_MAX: usize = 20_000;
/// Longest reason and longest name of who decided, in characters.
pub const WHY_CHARS_MAX: usize = 2_000;

/// What a workflow asks a person.
///
/// # A refund
/// ```
/// use bowline_model::approval::{Field, Question};
///
/// let question = Question::new("Refund 900 EUR to C-17?")
///     .approver("finance")
///     .field("reason", Field::choice("Why", ["damaged", "late"]).required())
///     .field("note", Field::text("Anything to add?"));
/// assert!(question.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// What is asked, in the author's words.
    pub question: String,
    /// Who should answer, in words: it is shown, and told to chats. Nobody else is kept from answering by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approver: Option<String>,
    /// What the answer holds beside yes or no, in the order of the form.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<NamedField>,
}

/// A field under its name in [`Decision::values`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NamedField {
    /// Letters, digits, `_` and `-`.
    pub name: String,
    /// What it takes.
    #[serde(flatten)]
    pub field: Field,
}

/// What a person can fill in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// What stands before it.
    pub label: String,
    /// Whether an approval needs it. A rejection never does.
    #[serde(default)]
    pub required: bool,
    /// What it takes.
    #[serde(flatten)]
    pub kind: FieldKind,
}

/// What a field takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FieldKind {
    /// A text of at most so many characters.
    Text {
        /// In characters.
        chars_max: usize,
    },
    /// A number, within bounds where they are said.
    Number {
        /// The lowest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<f64>,
        /// The highest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<f64>,
    },
    /// One of these texts.
    Choice {
        /// In the order of the form.
        options: Vec<String>,
    },
    /// Yes or no: `true` or `false`, never left out. A required one must be checked.
    Checkbox,
}

impl Question {
    /// A yes or no.
    pub fn new(question: impl Into<String>) -> Self {
        Self { question: question.into(), approver: None, fields: vec![] }
    }

    /// Who should answer.
    pub fn approver(mut self, approver: impl Into<String>) -> Self {
        self.approver = Some(approver.into());
        self
    }

    /// One more field of the answer.
    pub fn field(mut self, name: impl Into<String>, field: Field) -> Self {
        self.fields.push(NamedField { name: name.into(), field });
        self
    }
}

impl Field {
    /// A text, of at most [`TEXT_CHARS_DEFAULT`] characters unless [`chars_max`](Self::chars_max) says otherwise.
    pub fn text(label: impl Into<String>) -> Self {
        Self::of(label, FieldKind::Text { chars_max: TEXT_CHARS_DEFAULT })
    }

    /// A number.
    pub fn number(label: impl Into<String>) -> Self {
        Self::of(label, FieldKind::Number { min: None, max: None })
    }

    /// One of these texts.
    pub fn choice<O: Into<String>>(label: impl Into<String>, options: impl IntoIterator<Item = O>) -> Self {
        Self::of(label, FieldKind::Choice { options: options.into_iter().map(Into::into).collect() })
    }

    /// Yes or no.
    pub fn checkbox(label: impl Into<String>) -> Self {
        Self::of(label, FieldKind::Checkbox)
    }

    /// An approval needs it.
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The limit of a text, in characters; does nothing to other kinds.
    pub fn chars_max(mut self, limit: usize) -> Self {
        if let FieldKind::Text { chars_max } = &mut self.kind {
            *chars_max = limit;
        }
        self
    }

    /// The lowest number; does nothing to other kinds.
    pub fn at_least(mut self, lowest: f64) -> Self {
        if let FieldKind::Number { min, .. } = &mut self.kind {
            *min = Some(lowest);
        }
        self
    }

    /// The highest number; does nothing to other kinds.
    pub fn at_most(mut self, highest: f64) -> Self {
        if let FieldKind::Number { max, .. } = &mut self.kind {
            *max = Some(highest);
        }
        self
    }

    fn of(label: impl Into<String>, kind: FieldKind) -> Self {
        Self { label: label.into(), required: false, kind }
    }
}

/// What a person answered: the message that an approval's mailbox gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Yes or no.
    pub approved: bool,
    /// Who decided, as they say: there are no accounts behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What was filled in, checked against the question. What was left empty is not there.
    #[serde(default)]
    pub values: Map<String, Value>,
    /// The reason, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Decision {
    /// Yes, with nothing filled in.
    pub fn approved() -> Self {
        Self { approved: true, by: None, values: Map::new(), why: None }
    }

    /// No.
    pub fn rejected(why: impl Into<String>) -> Self {
        Self { approved: false, by: None, values: Map::new(), why: Some(why.into()) }
    }

    /// Who decided.
    pub fn by(mut self, who: impl Into<String>) -> Self {
        self.by = Some(who.into());
        self
    }

    /// Fills a field in.
    pub fn with(mut self, field: impl Into<String>, value: impl Into<Value>) -> Self {
        self.values.insert(field.into(), value.into());
        self
    }

    /// What was filled in there; `None` if nothing was.
    ///
    /// # Errors
    /// If the value is of another type.
    ///
    /// ```
    /// use bowline_model::approval::Decision;
    ///
    /// let decision = Decision::approved().with("amount", 900);
    /// assert_eq!(decision.value::<u32>("amount")?, Some(900));
    /// assert_eq!(decision.value::<String>("note")?, None);
    /// # Ok::<(), bowline_model::Error>(())
    /// ```
    pub fn value<T: DeserializeOwned>(&self, field: &str) -> Result<Option<T>, crate::Error> {
        let Some(value) = self.values.get(field) else { return Ok(None) };
        let wrong = |error: serde_json::Error| {
            crate::Error::permanent(format!("the decision's field {field:?}: {error}"))
        };
        T::deserialize(value).map(Some).map_err(wrong)
    }

    /// The text that was filled in there; `None` if nothing was, or it is no text.
    pub fn text(&self, field: &str) -> Option<&str> {
        self.values.get(field).and_then(Value::as_str)
    }
}

/// `approved by kim: within the budget`
impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.approved { "approved" } else { "rejected" })?;
        if let Some(by) = &self.by {
            write!(f, " by {by}")?;
        }
        if let Some(why) = &self.why {
            write!(f, ": {why}")?;
        }
        Ok(())
    }
}
