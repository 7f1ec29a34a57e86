//! What a GraphQL document asks for: a query or a mutation. Read as the specification's lexer reads it (October 2021,
//! §2.1), so that no comment, string or fragment is taken for an operation.

use super::Kind;

/// The kind of the operation that would run.
///
/// # Errors
/// Says what is wrong with the document.
pub(super) fn kind(document: &str, operation: Option<&str>) -> Result<Kind, String> {
    let operations = operations(document)?;
    let names = || {
        let names: Vec<&str> = operations.iter().filter_map(|(_, name)| *name).collect();
        names.join(", ")
    };
    let found = match (operation, &operations[..]) {
        (_, []) => {
            return Err(
                "the document has no operation: it begins as `query { … }` or `mutation { … }`".into()
            );
        }
        (Some(wanted), _) => operations
            .iter()
            .find(|(_, name)| *name == Some(wanted))
            .ok_or_else(|| format!("the document has no operation {wanted:?}: it has {}", names()))?,
        (None, [only]) => only,
        (None, several) => {
            return Err(format!(
                "the document has {} operations ({}): choose with .operation(name)",
                several.len(),
                names()
            ));
        }
    };
    found.0.ok_or_else(|| "a subscription is not one request: use a query, and poll it".into())
}

/// An operation, and its name; a subscription has no kind.
type Operation<'a> = (Option<Kind>, Option<&'a str>);

fn operations(document: &str) -> Result<Vec<Operation<'_>>, String> {
    let mut lexer = Lexer { rest: document };
    let (mut found, mut depth) = (vec![], 0_u32);
    // Between definitions a name is a keyword; after it, up to the end of its braces, nothing is.
    let mut heading = false;
    while let Some(token) = lexer.token()? {
        match token {
            Token::Open => {
                if depth == 0 && !heading {
                    found.push((Some(Kind::Query), None));
                }
                // The braces of a default value are within parentheses, which count too.
                depth += 1;
                heading = true;
            }
            Token::Close => {
                depth = depth.checked_sub(1).ok_or("the document has a bracket that closes nothing")?;
            }
            Token::Name(word) if depth == 0 && !heading => {
                heading = true;
                let kind = match word {
                    "query" => Some(Kind::Query),
                    "mutation" => Some(Kind::Mutation),
                    "subscription" => None,
                    "fragment" => continue,
                    _ => return Err(format!("the document has {word:?} where an operation begins")),
                };
                let mut ahead = Lexer { rest: lexer.rest };
                let name = if let Some(Token::Name(name)) = ahead.token()? { Some(name) } else { None };
                found.push((kind, name));
            }
            Token::EndOfSelection if depth == 1 => {
                depth = 0;
                heading = false;
            }
            Token::EndOfSelection => {
                depth = depth.checked_sub(1).ok_or("the document has a brace that closes nothing")?;
            }
            Token::Name(_) | Token::Other => {}
        }
    }
    if depth > 0 || heading {
        return Err("the document ends before its braces do".into());
    }
    Ok(found)
}

enum Token<'a> {
    Name(&'a str),
    /// `{`, `(` or `[`.
    Open,
    /// `)` or `]`.
    Close,
    /// `}`.
    EndOfSelection,
    Other,
}

struct Lexer<'a> {
    rest: &'a str,
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Result<Option<Token<'a>>, String> {
        loop {
            self.rest =
                self.rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',' || c == '\u{feff}');
            let Some(comment) = self.rest.strip_prefix('#') else { break };
            self.rest = comment.find(['\n', '\r']).map_or("", |end| &comment[end..]);
        }
        let Some(first) = self.rest.chars().next() else { return Ok(None) };
        if first.is_ascii_alphabetic() || first == '_' {
            let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
            return Ok(Some(Token::Name(self.take(end))));
        }
        if first == '"' {
            self.string()?;
            return Ok(Some(Token::Other));
        }
        self.take(first.len_utf8());
        Ok(Some(match first {
            '{' | '(' | '[' => Token::Open,
            ')' | ']' => Token::Close,
            '}' => Token::EndOfSelection,
            // A variable's name is no keyword.
            '$' | '@' => {
                let end = self
                    .rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(self.rest.len());
                self.take(end);
                Token::Other
            }
            _ => Token::Other,
        }))
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    fn string(&mut self) -> Result<(), String> {
        let end = if let Some(block) = self.rest.strip_prefix("\"\"\"") {
            let mut from = 0;
            loop {
                let end = block[from..].find("\"\"\"").map(|end| from + end);
                match end {
                    Some(end) if block[..end].ends_with('\\') => from = end + 3,
                    end => break end.map(|end| end + 6),
                }
            }
        } else {
            let mut escaped = false;
            let end = self.rest[1..].find(|c: char| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            });
            end.map(|end| end + 2)
        };
        self.take(end.ok_or("the document has a string that does not end")?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_queries_from_mutations_however_they_are_written() {
        use Kind::{Mutation, Query};
        for (document, kind) in [
            ("{ a }", Query),
            ("query { mutation }", Query),
            ("query mutation { a }", Query),
            ("mutation { a }", Mutation),
            (
                "\u{feff}mutation query($query: In = {mutation: \"}\", a: [1]}) @d(a: {b: 1}) { a(x: {y: 1}) { query } }",
                Mutation,
            ),
            ("# mutation { a }\nquery A { b # mutation\n }", Query),
            ("fragment mutation on T { a } query A { ...mutation }", Query),
            (
                "fragment F on T { a }\nmutation { a { ...F } } fragment G on T { b(c: \"\"\"} mutation \\\"\"\" {\"\"\") }",
                Mutation,
            ),
            ("query { a(b: \"\\\"} mutation {\") }", Query),
            ("{ a } # end", Query),
            ("query A($mutation: Int) { a(b: $mutation) }", Query),
        ] {
            assert_eq!(super::kind(document, None), Ok(kind), "{document}");
        }
    }

    #[test]
    fn the_chosen_operation_counts() {
        let document = "query A { a } mutation B { b } subscription C { c } { d }";
        assert_eq!(kind(document, Some("A")), Ok(Kind::Query));
        assert_eq!(kind(document, Some("B")), Ok(Kind::Mutation));
        for (operation, told) in [
            (None, "has 4 operations (A, B, C): choose with .operation(name)"),
            (Some("X"), "has no operation \"X\": it has A, B, C"),
            (Some("C"), "a subscription is not one request"),
        ] {
            assert!(kind(document, operation).unwrap_err().contains(told), "{told}");
        }
    }

    #[test]
    fn what_is_no_document_is_told() {
        for (document, told) in [
            ("", "no operation"),
            ("fragment F on T { a }", "no operation"),
            ("type T { a: Int }", "\"type\" where an operation begins"),
            ("query { a ", "ends before its braces"),
            ("query", "ends before its braces"),
            ("query { a } }", "closes nothing"),
            ("query { a(b: \"x) }", "string that does not end"),
        ] {
            assert!(kind(document, None).unwrap_err().contains(told), "{document}");
        }
    }
}
