//! Links in a header (RFC 8288).

use reqwest::header::{HeaderMap, LINK};

/// The target of the first link whose relation is that, as it stands there: it may be relative.
///
/// A link about something else than the answer (`anchor`) does not count, and what cannot be read ends its header.
pub(super) fn target(headers: &HeaderMap, relation: &str) -> Option<String> {
    headers.get_all(LINK).iter().find_map(|header| {
        let mut rest = header.to_str().ok()?;
        loop {
            let (link, after) = link(rest)?;
            if link.is(relation) {
                return Some(link.target.to_owned());
            }
            rest = after;
        }
    })
}

struct Link<'a> {
    target: &'a str,
    relations: Option<String>,
    anchored: bool,
}

impl Link<'_> {
    fn is(&self, relation: &str) -> bool {
        let relations = self.relations.as_deref().unwrap_or_default();
        !self.anchored && relations.split_ascii_whitespace().any(|own| own.eq_ignore_ascii_case(relation))
    }
}

/// The first link of a list, and what follows it.
fn link(list: &str) -> Option<(Link<'_>, &str)> {
    let start = list.trim_start_matches([' ', '\t', ',']).strip_prefix('<')?;
    let (target, mut rest) = start.split_once('>')?;
    let mut link = Link { target: target.trim(), relations: None, anchored: false };
    loop {
        rest = rest.trim_start();
        match rest.strip_prefix(';') {
            Some(parameter) => rest = parameter.trim_start(),
            None => return Some((link, rest.strip_prefix(',').unwrap_or(""))),
        }
        let end = rest.find(['=', ';', ',']).unwrap_or(rest.len());
        let (name, after) = (rest[..end].trim_end(), &rest[end..]);
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => value(after.trim_start())?,
            None => (String::new(), after),
        };
        rest = after;
        match name.to_ascii_lowercase().as_str() {
            // The first one counts (RFC 8288 §3.3).
            "rel" => drop(link.relations.get_or_insert(value)),
            "anchor" => link.anchored = true,
            _ => {}
        }
    }
}

/// A parameter's value, a token or quoted, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return Some((text[..end].trim_end().to_owned(), &text[end..]));
    };
    let (mut value, mut chars) = (String::new(), quoted.char_indices());
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &quoted[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            char => value.push(char),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(headers: &[&str]) -> Option<String> {
        let headers = headers.iter().map(|value| (LINK, value.parse().unwrap())).collect();
        target(&headers, "next")
    }

    #[test]
    fn finds_the_next_link_however_it_is_written() {
        for header in [
            "<https://a.example/x?page=2>; rel=\"next\"",
            "<https://a.example/x?page=1>; rel=\"prev\", <https://a.example/x?page=2>; rel=\"next\", <y>; rel=\"last\"",
            "<https://a.example/x?page=2>;rel=next",
            "<https://a.example/x?page=2> ; REL = NeXt ; title=\"a, <b>; rel=\\\"prev\\\"\"",
            "<y>; rel=self; title=\"x;y,z\", <https://a.example/x?page=2>; title=next; rel=\"last next\"",
            ",, <https://a.example/x?page=2>; crossorigin; rel=next; rel=prev",
            "<a,b;c>; rel=prev,<https://a.example/x?page=2>; rel=next",
        ] {
            assert_eq!(next(&[header]).as_deref(), Some("https://a.example/x?page=2"), "{header}");
        }
        assert_eq!(next(&["<y>; rel=prev", "<?page=3>; rel=next"]).as_deref(), Some("?page=3"));
    }

    #[test]
    fn finds_none_where_there_is_none() {
        for header in [
            "",
            "<x>",
            "<x>; rel=prev",
            "<x>; rel=prev; rel=next",
            "<x>; rel=nextish",
            "<x>; anchor=\"#a\"; rel=next",
            "<x; rel=next",
            "<x>; rel=\"next",
            "x; rel=next",
            "<x>; title=\"<y>; rel=next\"",
            "<x>; rel",
        ] {
            assert_eq!(next(&[header]), None, "{header}");
        }
    }
}
