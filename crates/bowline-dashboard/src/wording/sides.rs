//! The two sides of a mismatch: what the journal has, and what the code asks for.

/// The message of a mismatch, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides {
    /// What is recorded: `step "create" recorded POST crm /contacts`.
    pub journal: String,
    /// What the code does there now: `asks POST crm /people`.
    pub code: String,
    /// What makes both fit again, if the message says it.
    pub remedy: Option<String>,
}

impl Sides {
    /// Of a message as the engine writes it; `None` where it has no two sides.
    ///
    /// # The sides of a renamed step
    /// ```
    /// use bowline_dashboard::wording::Sides;
    ///
    /// let why = r#"step "make" is recorded as entry 1, and the code now asks for step "create": keep the old path"#;
    /// let sides = Sides::of(why).unwrap();
    /// assert_eq!(sides.journal, r#"step "make" is recorded as entry 1"#);
    /// assert_eq!(sides.code, r#"asks for step "create""#);
    /// assert_eq!(sides.remedy.as_deref(), Some("keep the old path"));
    /// ```
    pub fn of(message: &str) -> Option<Self> {
        let between = [", and the code now ", ", the code now "];
        let (journal, rest) = between.iter().find_map(|mark| split_outside_quotes(message, mark))?;
        let (code, remedy) = match split_outside_quotes(rest, ": ") {
            Some((code, remedy)) => (code, Some(remedy.to_owned())),
            None => (rest, None),
        };
        Some(Self { journal: journal.to_owned(), code: code.to_owned(), remedy })
    }
}

/// What is before the first such mark that is no part of a quoted name, and what is after it.
fn split_outside_quotes<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, char) in text.char_indices() {
        if !quoted && let Some(after) = text[at..].strip_prefix(mark) {
            return Some((&text[..at], after));
        }
        quoted ^= char == '"' && !escaped;
        escaped = quoted && char == '\\' && !escaped;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expect: Option<(&str, &str, Option<&str>)>) {
        let sides = Sides::of(message);
        let sides = sides.as_ref();
        assert_eq!(sides.map(|of| (of.journal.as_str(), of.code.as_str(), of.remedy.as_deref())), expect);
    }

    #[test]
    fn a_message_is_taken_apart_where_its_names_do_not_matter() {
        check(
            "step \"a, the code now b: c\\\"\" recorded POST crm /1, the code now asks POST crm /2: add .key(id)",
            Some((
                "step \"a, the code now b: c\\\"\" recorded POST crm /1",
                "asks POST crm /2",
                Some("add .key(id)"),
            )),
        );
        check(
            "timer \"nap\" is recorded as entry 2, and the code now asks for step \"x: y\"",
            Some(("timer \"nap\" is recorded as entry 2", "asks for step \"x: y\"", None)),
        );
    }

    #[test]
    fn a_message_of_one_side_stays_whole() {
        check("step \"x\" was asked for twice: a `.key` must be unique within its name", None);
        check("step \"not closed, the code now", None);
    }
}
