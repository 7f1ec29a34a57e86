//! Which names are files for an inbox.

/// A pattern of names: `*` stands for any characters, `?` for one. Everything else stands for itself, case included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// What is on its way, by how its name ends.
const PARTIAL: [&str; 8] =
    [".part", ".partial", ".filepart", ".tmp", ".temp", ".crdownload", ".download", "~"];

impl Pattern {
    /// That pattern.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a file of that name is to be taken: it fits, is not hidden, and does not say that it is on its way.
    ///
    /// ```
    /// use bowline_ingress::inbox::Pattern;
    ///
    /// let csv = Pattern::new("*.csv");
    /// assert!(csv.takes("2026-09-21.csv"));
    /// assert!(!csv.takes(".2026-09-21.csv") && !csv.takes("2026-09-21.csv.part"));
    /// ```
    pub fn takes(&self, name: &str) -> bool {
        let lower = name.to_lowercase();
        !name.starts_with('.') && !PARTIAL.iter().any(|end| lower.ends_with(end)) && fits(&self.0, name)
    }
}

/// Goes back to the last `*` where the rest does not fit: no name takes longer than its length times the pattern's.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while at < name.len() {
        match pattern.get(of) {
            Some('*') => {
                last_star = Some((of, at));
                of += 1;
            }
            Some(char) if *char == '?' || *char == name[at] => (at, of) = (at + 1, of + 1),
            Some(_) | None => match last_star {
                Some((star, taken)) => {
                    last_star = Some((star, taken + 1));
                    (at, of) = (taken + 1, star + 1);
                }
                None => return false,
            },
        }
    }
    pattern[of..].iter().all(|char| *char == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_fit_what_they_say() {
        for (pattern, name, expected) in [
            ("*", "a", true),
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("*.csv", ".csv", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxa", false),
            ("a*", "a", true),
            ("", "a", false),
            ("*.CSV", "a.csv", false),
            ("ü*", "über", true),
            ("[a]", "a", false),
        ] {
            assert_eq!(Pattern::new(pattern).takes(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn what_is_hidden_or_on_its_way_is_left() {
        for name in [".a", "a.part", "a.csv.TMP", "a.crdownload", "a~", "a.filepart"] {
            assert!(!Pattern::new("*").takes(name), "{name}");
        }
    }

    #[test]
    fn a_pattern_of_stars_takes_no_longer_for_it() {
        assert!(!Pattern::new("*a".repeat(50)).takes(&"a".repeat(49)));
        assert!(!Pattern::new(format!("{}b", "*a".repeat(50))).takes(&"a".repeat(2_000)));
    }
}
