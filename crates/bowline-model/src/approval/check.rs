//! Whether a question can be asked, and whether an answer fits it.

use std::{collections::HashSet, fmt};

use serde_json::{Map, Value};

use super::{
    APPROVER_CHARS_MAX, Decision, FIELD_NAME_BYTES_MAX, FIELDS_MAX, Field, FieldKind, LABEL_CHARS_MAX,
    OPTIONS_MAX, QUESTION_CHARS_MAX, Question, TEXT_CHARS_MAX, WHY_CHARS_MAX,
};

/// Why a question cannot be asked: the author's mistake, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct WrongQuestion(String);

/// One thing that does not fit the question. Holds nothing of what was filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongValue {
    /// The field's name; `by` and `why` for the decision's own.
    pub field: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for WrongValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl Question {
    /// Whether it can be asked.
    ///
    /// # Errors
    /// Without words, with a field's name twice, a choice without options, or anything past its limit.
    pub fn check(&self) -> Result<(), WrongQuestion> {
        let wrong = |message: String| Err(WrongQuestion(message));
        if self.question.trim().is_empty() {
            return wrong("the approval asks nothing: say what in Question::new(\"...\")".to_owned());
        }
        within(&self.question, QUESTION_CHARS_MAX)
            .map_err(|it| WrongQuestion(format!("the question {it}")))?;
        if let Some(approver) = &self.approver {
            within(approver, APPROVER_CHARS_MAX).map_err(|it| WrongQuestion(format!("the approver {it}")))?;
        }
        if self.fields.len() > FIELDS_MAX {
            return wrong(format!("{} fields; the limit is {FIELDS_MAX}", self.fields.len()));
        }
        let mut names = HashSet::new();
        for named in &self.fields {
            if !is_field_name(&named.name) {
                return wrong(format!(
                    "{:?} is no field's name: 1 to {FIELD_NAME_BYTES_MAX} letters, digits, `_` or `-`",
                    named.name
                ));
            }
            if !names.insert(named.name.as_str()) {
                return wrong(format!("two fields are named {:?}", named.name));
            }
            named.field.check().map_err(|it| WrongQuestion(format!("field {:?}: {it}", named.name)))?;
        }
        Ok(())
    }

    /// What was typed, as values of the fields: numbers and checkboxes are read, what was left empty is left out. A text
    /// that a field cannot read stays as it is, for [`checked`](Self::checked) to refuse.
    pub fn read(&self, typed: impl IntoIterator<Item = (String, String)>) -> Map<String, Value> {
        let mut values = Map::new();
        for (name, text) in typed {
            let kind = self.fields.iter().find(|named| named.name == name).map(|named| &named.field.kind);
            let value = match kind {
                Some(FieldKind::Number { .. }) => number(&text),
                Some(FieldKind::Checkbox) => checkbox(&text),
                // A browser sends the ends of lines as CR LF (WHATWG HTML, form data).
                Some(FieldKind::Text { .. }) => Value::String(text.replace("\r\n", "\n").trim().to_owned()),
                Some(FieldKind::Choice { .. }) | None => Value::String(text),
            };
            if value.as_str() != Some("") {
                values.insert(name, value);
            }
        }
        values
    }

    /// The decision as the workflow gets it: only declared fields, within their limits, checkboxes that were left out
    /// as `false`.
    ///
    /// # Errors
    /// All that does not fit, at once, in the order of the form. A rejection may leave required fields empty.
    pub fn checked(&self, decision: Decision) -> Result<Decision, Vec<WrongValue>> {
        let mut wrong = vec![];
        let mut values = Map::new();
        for named in &self.fields {
            let value = decision.values.get(&named.name).filter(|value| !value.is_null());
            match named.field.take(value, decision.approved) {
                Ok(value) => values.extend(value.map(|value| (named.name.clone(), value))),
                Err(message) => wrong.push(WrongValue { field: named.name.clone(), message }),
            }
        }
        for name in decision.values.keys() {
            if !self.fields.iter().any(|named| named.name == *name) {
                let field: String =
                    name.chars().filter(|c| !c.is_control()).take(FIELD_NAME_BYTES_MAX).collect();
                wrong.push(WrongValue { field, message: self.no_such_field() });
            }
        }
        for (field, text) in [("by", &decision.by), ("why", &decision.why)] {
            if let Some(Err(message)) = text.as_ref().map(|text| within(text, WHY_CHARS_MAX)) {
                wrong.push(WrongValue { field: field.to_owned(), message });
            }
        }
        let Decision { approved, by, why, .. } = decision;
        if wrong.is_empty() { Ok(Decision { approved, by, values, why }) } else { Err(wrong) }
    }

    fn no_such_field(&self) -> String {
        if self.fields.is_empty() {
            return "the question has no fields".to_owned();
        }
        let names: Vec<_> = self.fields.iter().map(|named| named.name.as_str()).collect();
        format!("the question has no such field; it has {}", names.join(", "))
    }
}

impl Field {
    fn check(&self) -> Result<(), String> {
        within(&self.label, LABEL_CHARS_MAX).map_err(|it| format!("the label {it}"))?;
        match &self.kind {
            FieldKind::Text { chars_max } if !(1..=TEXT_CHARS_MAX).contains(chars_max) => {
                Err(format!("a limit of {chars_max} characters; 1 to {TEXT_CHARS_MAX} can be had"))
            }
            FieldKind::Number { min: Some(min), max: Some(max) } if min > max => {
                Err(format!("at least {min} and at most {max}: no number is both"))
            }
            FieldKind::Choice { options } if options.is_empty() => Err("a choice without options".to_owned()),
            FieldKind::Choice { options } if options.len() > OPTIONS_MAX => {
                Err(format!("{} options; the limit is {OPTIONS_MAX}", options.len()))
            }
            FieldKind::Choice { options } => {
                if options.iter().any(|option| option.trim().is_empty()) {
                    return Err("an option without words".to_owned());
                }
                options
                    .iter()
                    .try_for_each(|option| within(option, LABEL_CHARS_MAX))
                    .map_err(|it| format!("an option {it}"))
            }
            FieldKind::Text { .. } | FieldKind::Number { .. } | FieldKind::Checkbox => Ok(()),
        }
    }

    /// The value as it is kept; what is wrong with it.
    fn take(&self, value: Option<&Value>, is_approval: bool) -> Result<Option<Value>, String> {
        let needed = self.required && is_approval;
        let Some(value) = value else {
            return match self.kind {
                FieldKind::Checkbox if needed => Err("must be checked".to_owned()),
                FieldKind::Checkbox => Ok(Some(Value::Bool(false))),
                FieldKind::Text { .. } | FieldKind::Number { .. } | FieldKind::Choice { .. } if needed => {
                    Err("is needed".to_owned())
                }
                FieldKind::Text { .. } | FieldKind::Number { .. } | FieldKind::Choice { .. } => Ok(None),
            };
        };
        match (&self.kind, value) {
            (FieldKind::Text { .. }, Value::String(text)) if needed && text.trim().is_empty() => {
                return Err("is needed".to_owned());
            }
            (FieldKind::Text { chars_max }, Value::String(text)) => within(text, *chars_max)?,
            (FieldKind::Text { .. }, _) => return Err("must be a text".to_owned()),
            (FieldKind::Number { min, max }, Value::Number(number)) => {
                let number = number.as_f64().ok_or_else(|| "must be a number".to_owned())?;
                bounded(number, *min, *max)?;
            }
            (FieldKind::Number { .. }, _) => return Err("must be a number, as 900 or 12.5".to_owned()),
            (FieldKind::Choice { options }, Value::String(text)) if options.contains(text) => {}
            (FieldKind::Choice { options }, _) => {
                return Err(format!("must be one of: {}", options.join(", ")));
            }
            (FieldKind::Checkbox, Value::Bool(false)) if needed => return Err("must be checked".to_owned()),
            (FieldKind::Checkbox, Value::Bool(_)) => {}
            (FieldKind::Checkbox, _) => return Err("must be true or false".to_owned()),
        }
        Ok(Some(value.clone()))
    }
}

fn is_field_name(name: &str) -> bool {
    (1..=FIELD_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn within(text: &str, chars_max: usize) -> Result<(), String> {
    match text.chars().count() {
        chars if chars > chars_max => Err(format!("has {chars} characters; the limit is {chars_max}")),
        _ => Ok(()),
    }
}

fn bounded(number: f64, min: Option<f64>, max: Option<f64>) -> Result<(), String> {
    let is_in = min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
    match (min, max) {
        _ if is_in => Ok(()),
        (Some(min), Some(max)) => Err(format!("must be from {min} to {max}")),
        (Some(min), None) => Err(format!("must be at least {min}")),
        (None, Some(max)) => Err(format!("must be at most {max}")),
        (None, None) => Ok(()),
    }
}

/// A whole number stays one: `900` is not `900.0` for who decodes it.
fn number(text: &str) -> Value {
    let text = text.trim();
    let whole = text.parse::<i64>().ok().map(Value::from);
    // JSON has no NaN and no infinity: what `f64` reads of those stays text, and is refused.
    let broken = || text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number);
    whole.or_else(broken).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// `on` is what a browser sends of a checked box.
fn checkbox(text: &str) -> Value {
    match text.trim() {
        "on" | "true" | "yes" => Value::Bool(true),
        "off" | "false" | "no" => Value::Bool(false),
        other => Value::String(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Payload;

    fn refund() -> Question {
        Question::new("Refund 900 EUR?")
            .approver("finance")
            .field("reason", Field::choice("Why", ["damaged", "late"]).required())
            .field("amount", Field::number("How much").at_least(1.0).at_most(900.0))
            .field("note", Field::text("Note").chars_max(10))
            .field("told", Field::checkbox("The customer was told").required())
    }

    fn wrong(decision: Decision) -> Vec<String> {
        refund().checked(decision).expect_err("does not fit").iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_form_sends_becomes_values_of_the_declared_types() {
        let typed = [("reason", "late"), ("amount", " 12.5 "), ("note", ""), ("told", "on")];
        let values = refund().read(typed.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let decision = Decision { values, ..Decision::approved() }.by("kim");
        let decision = refund().checked(decision).expect("fits");
        assert_eq!(Value::Object(decision.values), json!({"reason": "late", "amount": 12.5, "told": true}));
    }

    #[test]
    fn a_whole_number_stays_whole() {
        let values = refund().read([("amount".to_owned(), "900".to_owned())]);
        let decision = Decision { values, ..Decision::rejected("no") };
        assert_eq!(decision.value::<u32>("amount").expect("a number"), Some(900));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once_and_repeats_no_value() {
        let decision =
            Decision::approved().with("amount", 901).with("note", "far too long").with("secret", "x");
        assert_eq!(
            wrong(decision),
            [
                "reason: is needed",
                "amount: must be from 1 to 900",
                "note: has 12 characters; the limit is 10",
                "told: must be checked",
                "secret: the question has no such field; it has reason, amount, note, told",
            ]
        );
    }

    #[test]
    fn each_kind_refuses_what_is_not_its_own() {
        let decision = Decision::approved()
            .with("reason", "broken")
            .with("amount", "many")
            .with("note", 7)
            .with("told", "certainly");
        assert_eq!(
            wrong(decision),
            [
                "reason: must be one of: damaged, late",
                "amount: must be a number, as 900 or 12.5",
                "note: must be a text",
                "told: must be true or false",
            ]
        );
        let values = refund().read([("amount".to_owned(), "NaN".to_owned())]);
        assert_eq!(values.get("amount"), Some(&json!("NaN")), "no number in JSON");
    }

    #[test]
    fn a_rejection_needs_no_field_but_keeps_what_was_said() {
        let decision = refund().checked(Decision::rejected("too much").with("note", "ask me")).expect("fits");
        assert_eq!(decision.to_string(), "rejected: too much");
        assert_eq!(decision.text("note"), Some("ask me"));
        assert_eq!(decision.value::<bool>("told").expect("a checkbox"), Some(false));
    }

    #[test]
    fn a_question_that_cannot_be_asked_says_why() {
        let said = |question: Question| question.check().expect_err("cannot be asked").to_string();
        assert_eq!(said(Question::new(" ")), "the approval asks nothing: say what in Question::new(\"...\")");
        let twice = Question::new("?").field("a", Field::text("A")).field("a", Field::text("A"));
        assert_eq!(said(twice), "two fields are named \"a\"");
        let nameless = Question::new("?").field("a b", Field::text("A"));
        assert!(said(nameless).starts_with("\"a b\" is no field's name"));
        let none: [&str; 0] = [];
        assert_eq!(
            said(Question::new("?").field("a", Field::choice("A", none))),
            "field \"a\": a choice without options"
        );
        let never = Field::number("A").at_least(2.0).at_most(1.0);
        assert!(said(Question::new("?").field("a", never)).ends_with("no number is both"));
        assert!(said(Question::new("x".repeat(QUESTION_CHARS_MAX + 1))).contains("the limit is 4000"));
    }

    #[test]
    fn a_question_comes_back_from_disk_as_it_was() {
        let stored = Payload::encode(&refund()).expect("encodes");
        assert_eq!(stored.decode::<Question>().expect("decodes"), refund());
    }
}
