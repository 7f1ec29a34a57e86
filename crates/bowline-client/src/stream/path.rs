//! Where in a document the array is.

use super::Error;

/// The names that lead from the document to its array, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    given: String,
    names: Vec<String>,
}

impl Path {
    /// Reads `data.items`, or `/data/items` (RFC 6901) for names that hold a dot.
    pub(super) fn parse(path: &str) -> Result<Self, Error> {
        let problem = |problem| Error::Path { path: path.to_owned(), problem };
        let names = if path.is_empty() {
            vec![]
        } else if let Some(pointer) = path.strip_prefix('/') {
            pointer.split('/').map(unescape).collect::<Option<_>>().ok_or_else(|| {
                problem("in a JSON Pointer `~` is written `~0`, and a `/` within a name `~1` (RFC 6901)")
            })?
        } else {
            path.split('.').map(str::to_owned).collect()
        };
        if !path.starts_with('/') && names.iter().any(String::is_empty) {
            return Err(problem(
                "a name is empty; write names that are odd as a JSON Pointer, `/data/items`",
            ));
        }
        Ok(Self { given: path.to_owned(), names })
    }

    pub(super) fn given(&self) -> &str {
        &self.given
    }

    /// How many objects have to be entered.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn name(&self, level: usize) -> &str {
        &self.names[level]
    }

    /// The first `levels` names as a path, in the form in which the path was given.
    pub(super) fn prefix(&self, levels: usize) -> String {
        let names = &self.names[..levels];
        if self.given.starts_with('/') {
            names.iter().map(|name| format!("/{}", name.replace('~', "~0").replace('/', "~1"))).collect()
        } else {
            names.join(".")
        }
    }
}

/// A name of a JSON Pointer; `None` if a `~` stands for nothing.
fn unescape(name: &str) -> Option<String> {
    let mut parts = name.split('~');
    let mut whole = parts.next()?.to_owned();
    for part in parts {
        let rest = if let Some(rest) = part.strip_prefix('0') {
            whole.push('~');
            rest
        } else {
            whole.push('/');
            part.strip_prefix('1')?
        };
        whole.push_str(rest);
    }
    Some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(path: &str) -> Vec<String> {
        Path::parse(path).unwrap().names
    }

    #[test]
    fn names_are_separated_by_dots_or_are_a_pointer() {
        assert_eq!(names(""), [""; 0]);
        assert_eq!(names("items"), ["items"]);
        assert_eq!(names("data.items"), ["data", "items"]);
        assert_eq!(names("/data/items.v2/"), ["data", "items.v2", ""]);
        assert_eq!(names("/a~1b/c~0d~01"), ["a/b", "c~d~1"]);
    }

    #[test]
    fn what_is_not_a_path_is_refused() {
        for path in [".", "data.", ".items", "a..b", "/a~2b", "/a~"] {
            assert!(matches!(Path::parse(path), Err(Error::Path { .. })), "{path}");
        }
    }

    #[test]
    fn a_prefix_is_written_as_the_path_was() {
        assert_eq!(Path::parse("data.items").unwrap().prefix(1), "data");
        assert_eq!(Path::parse("/a~1b/c").unwrap().prefix(1), "/a~1b");
        assert_eq!(Path::parse("a").unwrap().prefix(0), "");
    }
}
