//! Typed and validated input of first-party routes: what does not fit is refused at the door, with every field named.

use bowline_ingress::{FieldError, Rejection};
use serde::{Serialize, de::DeserializeOwned};

/// An input that says what of it is valid: every type that derives `garde::Validate`.
///
/// ```
/// use bowline::prelude::*;
/// use garde::Validate;
///
/// #[derive(Deserialize, Validate)]
/// struct Signup {
///     #[garde(length(min = 3, max = 254))]
///     email: String,
///     #[garde(skip)]
///     newsletter: bool,
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what of it is valid",
    label = "this input is not validated",
    note = "derive it: `#[derive(Deserialize, garde::Validate)]`, with a rule such as `#[garde(email)]` or `#[garde(skip)]` \
            at each field,",
    note = "or start the workflow with `.start_unvalidated(..)`: then only the types are checked"
)]
pub trait Validated: DeserializeOwned {
    /// What is not valid in it: a pointer and a text for each.
    fn problems(&self) -> Vec<FieldError>;
}

#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + garde::Validate<Context = ()>> Validated for T {
    fn problems(&self) -> Vec<FieldError> {
        let Err(report) = self.validate() else { return vec![] };
        let told = |(path, error): &(garde::Path, garde::Error)| FieldError {
            pointer: pointer(&path.to_string()),
            detail: error.to_string(),
        };
        let mut problems: Vec<_> = report.iter().map(told).collect();
        // The library's own order is that of its rules.
        problems.sort_by(|a, b| a.pointer.cmp(&b.pointer));
        problems
    }
}

/// Reads the type from a body.
pub(crate) fn read<I: DeserializeOwned>(body: &[u8]) -> Result<I, Rejection> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let input = serde_path_to_error::deserialize(&mut json).map_err(|error| misfit(&error))?;
    json.end().map_err(|error| not_json(&error))?;
    Ok(input)
}

/// The type that a form holds, as JSON.
pub(crate) fn form_to_json<I: DeserializeOwned + Serialize>(body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let form = serde_html_form::Deserializer::from_bytes(body);
    let input: I = serde_path_to_error::deserialize(form).map_err(|error| {
        let path = error.path().to_string();
        let pointer = if path == "." { "#".to_owned() } else { pointer(&path) };
        Rejection::Invalid { errors: vec![FieldError { pointer, detail: error.inner().to_string() }] }
    })?;
    serde_json::to_vec(&input).map_err(|_| {
        Rejection::unroutable(
            "the form cannot be written as JSON; its type has a map with keys that are no text",
        )
    })
}

fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> Rejection {
    let inner = error.inner();
    if !inner.is_data() {
        return not_json(inner);
    }
    let path = error.path().to_string();
    let pointer = if path == "." { "#".to_owned() } else { pointer(&path) };
    // What serde_json adds about the place says less than the pointer.
    let text = inner.to_string();
    let detail = text.split(" at line ").next().unwrap_or_default().to_owned();
    Rejection::Invalid { errors: vec![FieldError { pointer, detail }] }
}

/// Says where, and quotes nothing.
fn not_json(error: &serde_json::Error) -> Rejection {
    let problem = if error.is_eof() { "it ends too early" } else { "it does not parse" };
    let (line, column) = (error.line(), error.column());
    Rejection::unroutable(format!("the body is not JSON: {problem}, at line {line} column {column}"))
}

/// `items[2].name` as a JSON pointer in a URI's fragment: `#/items/2/name`.
fn pointer(path: &str) -> String {
    let mut pointer = "#".to_owned();
    for part in path.split(['.', '[']).map(|part| part.trim_end_matches(']')).filter(|part| !part.is_empty())
    {
        pointer.push('/');
        pointer.push_str(&part.replace('~', "~0"));
    }
    pointer
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, Deserialize, garde::Validate)]
    struct Order {
        #[garde(length(min = 1))]
        number: String,
        #[garde(dive)]
        items: Vec<Item>,
    }

    #[derive(Debug, Deserialize, garde::Validate)]
    struct Item {
        #[garde(range(min = 1, max = 9))]
        count: u32,
    }

    fn errors(rejection: Rejection) -> Vec<(String, String)> {
        match rejection {
            Rejection::Invalid { errors } => {
                errors.into_iter().map(|error| (error.pointer, error.detail)).collect()
            }
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_invalid_field_is_named_with_a_pointer() {
        let order: Order = read(br#"{"number": "", "items": [{"count": 1}, {"count": 10}]}"#).unwrap();
        let problems = errors(Rejection::Invalid { errors: order.problems() });
        let pointers: Vec<_> = problems.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["#/items/1/count", "#/number"]);
        assert!(problems.iter().all(|(_, detail)| !detail.is_empty()));
    }

    #[test]
    fn a_type_that_does_not_fit_is_named_with_a_pointer() {
        let misfit = read::<Order>(br#"{"number": "7", "items": [{"count": "many"}]}"#).unwrap_err();
        let told = errors(misfit);
        assert_eq!(
            told,
            [("#/items/0/count".to_owned(), r#"invalid type: string "many", expected u32"#.to_owned())]
        );
        let missing = errors(read::<Order>(br#"{"items": []}"#).unwrap_err());
        assert_eq!(missing, [("#".to_owned(), "missing field `number`".to_owned())]);
    }

    #[derive(Debug, Deserialize, Serialize)]
    struct Booking {
        email: String,
        seats: u8,
        #[serde(default)]
        meals: Vec<String>,
        note: Option<u32>,
        news: bool,
    }

    #[test]
    fn a_form_is_read_into_the_type_and_kept_as_json() {
        let form = b"email=ada%40example.com&seats=2&meals=fish&meals=egg+%26+rice&note=&news=true&other=1";
        let json: serde_json::Value =
            serde_json::from_slice(&form_to_json::<Booking>(form).unwrap()).unwrap();
        let expected = serde_json::json!({
            "email": "ada@example.com", "seats": 2, "meals": ["fish", "egg & rice"], "note": null, "news": true,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_form_that_does_not_fit_names_its_field() {
        let told = errors(form_to_json::<Booking>(b"email=a&seats=many&news=true").unwrap_err());
        assert_eq!(told[0].0, "#/seats");
        assert!(!told[0].1.contains("ada"), "{told:?}");
        let missing = errors(form_to_json::<Booking>(b"seats=1&news=true").unwrap_err());
        assert!(missing[0].1.contains("missing field `email`"), "{missing:?}");
    }

    #[test]
    fn what_is_not_json_is_no_field_error() {
        for body in [&b"{"[..], b"", b"{\"number\": \"7\", \"items\": []} x", b"{\"number\": }", b"\xff"] {
            let rejection = read::<Order>(body).unwrap_err();
            assert!(matches!(rejection, Rejection::Unroutable { .. }), "{body:?}: {rejection}");
        }
    }
}
