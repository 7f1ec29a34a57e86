//! From one page to the next: what a request for a page says, and where an answer says the next one is. Pure.

use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde_json::value::RawValue;
use url::Url;

use super::{
    cursor::Place,
    link,
    paging::{From, Paging, Style, To, Windows, Written},
    place,
};
use crate::scrub::{MASK, Scrub};

/// The parts of a request that a page changes.
pub(super) struct Turned<'r> {
    pub(super) path: &'r mut String,
    pub(super) query: &'r mut Vec<(String, String)>,
    /// The body, if it is JSON.
    pub(super) body: Option<Box<RawValue>>,
}

/// An answer, as far as the next page is concerned.
pub(super) struct Turn<'a> {
    pub(super) headers: &'a HeaderMap,
    /// Where it came from.
    pub(super) url: &'a Url,
    /// The Api's base URL, if it is not a secret.
    pub(super) base: Option<&'a Url>,
    pub(super) document: &'a RawValue,
    pub(super) items: &'a [&'a RawValue],
    pub(super) scrub: &'a Scrub,
}

/// Makes a request one for the page at that place.
///
/// # Errors
/// Says what does not fit together.
pub(super) fn ask(paging: &Paging, at: &Place, request: &mut Turned<'_>) -> Result<(), String> {
    match (&paging.style, at) {
        (Style::Link | Style::NextUrl { .. }, Place::Url(url)) => {
            let (path, query) = url.split_once('?').unwrap_or((url, ""));
            *request.path = path.to_owned();
            *request.query = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            Ok(())
        }
        (Style::Token { to, .. } | Style::LastId { to, .. }, Place::Text(cursor)) => match to {
            To::Query(parameter) => {
                set(request.query, parameter, cursor);
                Ok(())
            }
            To::Body(path) => set_in_body(request, path, cursor),
        },
        (Style::Connection { variable, .. }, Place::Text(cursor)) => set_in_body(
            request,
            &format!("/variables/{}", variable.replace('~', "~0").replace('/', "~1")),
            cursor,
        ),
        (Style::Number { parameter, first, .. }, at @ (Place::First | Place::Number(_))) => {
            let number = if let Place::Number(number) = at { number } else { first };
            set(request.query, parameter, &number.to_string());
            Ok(())
        }
        (Style::Offset { parameter, limit, .. }, at @ (Place::First | Place::Number(_))) => {
            let offset = if let Place::Number(offset) = at { *offset } else { 0 };
            set(request.query, parameter, &offset.to_string());
            if let Some((parameter, limit)) = limit {
                set(request.query, parameter, &limit.to_string());
            }
            Ok(())
        }
        (Style::Windows(windows), at @ (Place::First | Place::Window { .. })) => {
            ask_window(windows, at, request)
        }
        (Style::Link | Style::NextUrl { .. } | Style::Token { .. } | Style::LastId { .. }, Place::First)
        | (Style::Connection { .. }, Place::First) => Ok(()),
        (_, Place::Url(_) | Place::Text(_) | Place::Number(_) | Place::Window { .. }) => Err(
            "the cursor is one of another style of paging: was it recorded by another version of the code? \
                 begin with Cursor::first()"
                .into(),
        ),
    }
}

fn ask_window(windows: &Windows, at: &Place, request: &mut Turned<'_>) -> Result<(), String> {
    let first = first_window(windows)?;
    let (from, to, within) = match at {
        Place::Window { from, to, at } => (*from, *to, &**at),
        Place::First | Place::Url(_) | Place::Text(_) | Place::Number(_) => (first.0, first.1, &Place::First),
    };
    let from =
        from.checked_sub(windows.look_back).map_err(|_| "the look-back leads out of time".to_owned())?;
    let written = |time: Timestamp| match windows.written {
        Written::Rfc3339 => time.to_string(),
        Written::UnixSeconds => time.as_second().to_string(),
    };
    set(request.query, &windows.from.0, &written(from));
    set(request.query, &windows.to.0, &written(to));
    match &windows.within {
        Some(paging) => ask(paging, within, request),
        None => Ok(()),
    }
}

/// The first window's ends.
fn first_window(windows: &Windows) -> Result<(Timestamp, Timestamp), String> {
    if windows.span.as_secs() == 0 {
        return Err(format!("the windows' span is {} s: give at least 1 s", windows.span.as_secs_f64()));
    }
    if windows.look_back > windows.span {
        return Err(format!(
            "the windows look back {} s, which is more than one of them ({} s): make them longer",
            windows.look_back.as_secs(),
            windows.span.as_secs()
        ));
    }
    let (from, end) = (windows.from.1, windows.to.1);
    if from >= end {
        return Err(format!("the windows end at {end}, which is not after their beginning at {from}"));
    }
    Ok((from, end.min(from.checked_add(windows.span).unwrap_or(Timestamp::MAX))))
}

fn set(query: &mut Vec<(String, String)>, parameter: &str, value: &str) {
    match query.iter_mut().find(|(name, _)| name == parameter) {
        Some((_, old)) => value.clone_into(old),
        None => query.push((parameter.to_owned(), value.to_owned())),
    }
}

fn set_in_body(request: &mut Turned<'_>, path: &str, cursor: &str) -> Result<(), String> {
    let body = request
        .body
        .take()
        .ok_or("the cursor goes into the body, but the body is not JSON: use .json(..)")?;
    request.body = Some(place::set(&body, path, cursor)?);
    Ok(())
}

/// Where the page after that one is; `None` after the last.
///
/// # Errors
/// Says what is wrong with the answer. The text goes on after "its body".
pub(super) fn next(paging: &Paging, at: &Place, turn: &Turn<'_>) -> Result<Option<Place>, String> {
    let more = paging.more.as_deref().map(|path| place::flag(turn.document, path)).transpose()?;
    if more == Some(false) {
        return next_window_of(paging, at);
    }
    let next = match &paging.style {
        Style::Link => link::target(turn.headers, "next").map(|next| below(&next, turn)).transpose()?,
        Style::NextUrl { path } => {
            place::text(turn.document, path)?.map(|next| below(&next, turn)).transpose()?
        }
        Style::Token { from: From::Body(path), .. } => place::text(turn.document, path)?.map(Place::Text),
        Style::Token { from: From::Header(name), .. } => {
            let header = turn.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
            header.filter(|text| !text.is_empty()).map(|text| Place::Text(turn.scrub.text(text)))
        }
        Style::Number { first, last, .. } => next_number(at, *first, last.as_deref(), more, turn)?,
        Style::Offset { total, .. } => next_offset(at, total.as_deref(), turn)?,
        Style::LastId { path, .. } => {
            turn.items.last().map(|item| id_of(item, path)).transpose()?.map(Place::Text)
        }
        Style::Connection { path, .. } => next_in_connection(path, turn)?,
        Style::Windows(windows) => next_in_windows(windows, at, turn)?,
    };
    match (&next, more, &paging.more) {
        (None, Some(true), Some(path)) => {
            Err(format!("says at {path:?} that there is more, but not where: {}", lacks(paging, turn)))
        }
        _ => Ok(next),
    }
}

/// Why there is no way to the next page.
fn lacks(paging: &Paging, turn: &Turn<'_>) -> String {
    match &paging.style {
        Style::Link => "it has no Link header with rel=\"next\"".into(),
        Style::NextUrl { path } | Style::Token { from: From::Body(path), .. } => {
            place::find(turn.document, path).err().unwrap_or_else(|| format!("{path:?} is empty"))
        }
        Style::Token { from: From::Header(name), .. } => format!("it has no header {name}"),
        Style::Number { .. } | Style::Windows(_) | Style::Connection { .. } => "its last page is over".into(),
        Style::Offset { .. } | Style::LastId { .. } => "its page is empty".into(),
    }
}

fn next_number(
    at: &Place,
    first: u64,
    last: Option<&str>,
    more: Option<bool>,
    turn: &Turn<'_>,
) -> Result<Option<Place>, String> {
    let number = if let Place::Number(number) = at { *number } else { first };
    let goes_on = match last {
        Some(path) => number < place::count(turn.document, path)?,
        None => !turn.items.is_empty() || more == Some(true),
    };
    Ok(goes_on.then(|| Place::Number(number.saturating_add(1))))
}

fn next_offset(at: &Place, total: Option<&str>, turn: &Turn<'_>) -> Result<Option<Place>, String> {
    let offset = if let Place::Number(offset) = at { *offset } else { 0 };
    let next = offset.saturating_add(turn.items.len() as u64);
    let goes_on = match total {
        Some(path) => {
            let total = place::count(turn.document, path)?;
            if next < total && turn.items.is_empty() {
                return Err(format!("has no items at offset {offset}, though it counts {total} of them"));
            }
            next < total
        }
        None => !turn.items.is_empty(),
    };
    Ok(goes_on.then_some(Place::Number(next)))
}

/// The id at that path within an item.
pub(super) fn id_of(item: &RawValue, path: &str) -> Result<String, String> {
    place::text(item, path)?.ok_or_else(|| {
        let there = place::find(item, path).err().unwrap_or_else(|| "it is empty".into());
        format!("has an item without an id at {path:?}: the item {there}")
    })
}

fn next_in_connection(path: &str, turn: &Turn<'_>) -> Result<Option<Place>, String> {
    let info = format!("data.{path}.pageInfo");
    if place::find(turn.document, &info).is_err() {
        return Err(format!("has no pageInfo at {path:?}: ask for pageInfo {{ hasNextPage endCursor }}"));
    }
    if !place::flag(turn.document, &format!("{info}.hasNextPage"))? {
        return Ok(None);
    }
    let cursor = place::text(turn.document, &format!("{info}.endCursor"))?;
    let cursor =
        cursor.ok_or("says hasNextPage, but has no endCursor: ask for pageInfo { hasNextPage endCursor }")?;
    Ok(Some(Place::Text(cursor)))
}

/// The rest of this window, or the next one.
fn next_in_windows(windows: &Windows, at: &Place, turn: &Turn<'_>) -> Result<Option<Place>, String> {
    let first = first_window(windows)?;
    let (from, to, inner) = match at {
        Place::Window { from, to, at } => (*from, *to, (**at).clone()),
        Place::First | Place::Url(_) | Place::Text(_) | Place::Number(_) => (first.0, first.1, Place::First),
    };
    let rest = windows.within.as_ref().map(|paging| next(paging, &inner, turn)).transpose()?.flatten();
    if let Some(rest) = rest {
        return Ok(Some(Place::Window { from, to, at: Box::new(rest) }));
    }
    Ok(window_after(windows, to))
}

/// What follows where the remote says that there is no more: in windows, the next one.
fn next_window_of(paging: &Paging, at: &Place) -> Result<Option<Place>, String> {
    let Style::Windows(windows) = &paging.style else { return Ok(None) };
    let to = if let Place::Window { to, .. } = at { *to } else { first_window(windows)?.1 };
    Ok(window_after(windows, to))
}

fn window_after(windows: &Windows, from: Timestamp) -> Option<Place> {
    let end = windows.to.1;
    let to = end.min(from.checked_add(windows.span).unwrap_or(Timestamp::MAX));
    (from < end).then(|| Place::Window { from, to, at: Box::new(Place::First) })
}

fn below(next: &str, turn: &Turn<'_>) -> Result<Place, String> {
    below_base(next, turn.url, turn.base, turn.scrub).map(Place::Url)
}

/// A URL that an answer gave, as path and query below the base URL, without credentials.
///
/// # Errors
/// Says where else it leads. The text goes on after "its body".
pub(crate) fn below_base(
    next: &str,
    from: &Url,
    base: Option<&Url>,
    scrub: &Scrub,
) -> Result<String, String> {
    let base = base.ok_or("has a URL, which cannot be followed below a secret URL")?;
    let mut url = from.join(next).map_err(|error| format!("has a URL that is none: {error}"))?;
    // Behind a proxy that ends TLS, remotes write http where they mean themselves; what is sent goes to the base.
    if url.scheme() == "http" && base.scheme() == "https" && url.host() == base.host() && url.port().is_none()
    {
        let _ = url.set_scheme("https");
    }
    if url.origin() != base.origin() {
        return Err(format!(
            "has a URL at {}, and this Api is read from {} only, so that credentials stay where they belong",
            scrub.text(&url.origin().ascii_serialization()),
            base.origin().ascii_serialization()
        ));
    }
    let above = base.path().trim_end_matches('/');
    let path = url.path().strip_prefix(above).filter(|path| path.is_empty() || path.starts_with('/'));
    let path = path.ok_or_else(|| {
        format!("has a URL that is not below the base URL's path {above:?}: make the base URL shorter")
    })?;
    if scrub.text(path) != path {
        return Err("has a URL with a credential in its path, which cannot be recorded".into());
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in url.query_pairs().filter(|(name, value)| !is_credential(name, value, scrub)) {
        query.append_pair(&name, &value);
    }
    let query = query.finish();
    Ok(if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") })
}

/// Whether a parameter proves who asks. It is put on every request anew, and is no part of a place.
fn is_credential(name: &str, value: &str, scrub: &Scrub) -> bool {
    const NAMES: [&str; 8] = [
        "access_token",
        "accesstoken",
        "api_key",
        "apikey",
        "api-key",
        "client_secret",
        "password",
        "authorization",
    ];
    NAMES.contains(&name.to_ascii_lowercase().as_str())
        || scrub.text(value) != value
        // What was found in the body was masked there.
        || value.contains(MASK)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn at(hours: u64) -> Timestamp {
        Timestamp::UNIX_EPOCH + HOUR * u32::try_from(hours).unwrap()
    }

    /// What a page at that place asks for, as path, query and body.
    fn asked(paging: &Paging, at: &Place, body: &str) -> Result<String, String> {
        let (mut path, mut query) = ("/x".to_owned(), vec![("limit".to_owned(), "2".to_owned())]);
        let body = RawValue::from_string(body.to_owned()).ok();
        let mut request = Turned { path: &mut path, query: &mut query, body };
        ask(paging, at, &mut request)?;
        let body = request.body.map(|body| body.get().to_owned()).unwrap_or_default();
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        Ok(format!("{path}?{} {body}", query.join("&")))
    }

    fn turned(
        paging: &Paging,
        at: &Place,
        items: &str,
        body: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<Place>, String> {
        let document = RawValue::from_string(body.to_owned()).unwrap();
        let items = RawValue::from_string(items.to_owned()).unwrap();
        let items = place::array(&items, "").unwrap();
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let (url, base) =
            ("https://a.example/v1/x?page=1".parse().unwrap(), "https://a.example/v1".parse().unwrap());
        let mut scrub = Scrub::default();
        scrub.add("query-e19f0b77d2");
        let turn = Turn {
            headers: &headers,
            url: &url,
            base: Some(&base),
            document: &document,
            items: &items,
            scrub: &scrub,
        };
        next(paging, at, &turn)
    }

    fn url(text: &str) -> Option<Place> {
        Some(Place::Url(text.into()))
    }

    fn text(text: &str) -> Option<Place> {
        Some(Place::Text(text.into()))
    }

    #[test]
    fn a_next_url_is_kept_as_path_and_query_without_credentials() {
        let paging = Paging::next_url("next");
        for (next, place) in [
            ("https://a.example/v1/x?page=2&limit=2", url("/x?page=2&limit=2")),
            ("http://a.example/v1/x?page=2", url("/x?page=2")),
            ("/v1/y/z?page=2#top", url("/y/z?page=2")),
            ("?page=2", url("/x?page=2")),
            ("?api_key=k-1234&page=2&access_token=abc", url("/x?page=2")),
            ("?page=2&k=query-e19f0b77d2", url("/x?page=2")),
            ("?page=2&k=[secret]", url("/x?page=2")),
            ("?%24skip=a%2Bb%20c&page_token=t%3D", url("/x?%24skip=a%2Bb+c&page_token=t%3D")),
            ("", None),
        ] {
            let body = serde_json::json!({"next": next}).to_string();
            assert_eq!(turned(&paging, &Place::First, "[]", &body, &[]), Ok(place), "{next}");
        }
        assert_eq!(turned(&paging, &Place::First, "[1]", "{}", &[]), Ok(None));
        assert_eq!(asked(&paging, &Place::Url("/y?a=b+c".into()), ""), Ok("/y?a=b c ".into()));
    }

    #[test]
    fn a_next_url_that_leads_away_is_an_error() {
        let paging = Paging::link_header();
        for (next, told) in [
            (
                "https://evil.example/v1/x?page=2",
                "has a URL at https://evil.example, and this Api is read from https://a.example only",
            ),
            ("//evil.example/v1/x", "https://evil.example"),
            ("https://a.example:8443/v1/x", "https://a.example:8443"),
            ("http://a.example:8080/v1/x", "http://a.example:8080"),
            ("https://a.example@evil.example/v1/x", "https://evil.example"),
            ("/v2/x?page=2", "not below the base URL's path \"/v1\""),
            ("/v1x", "not below"),
            ("/v1/query-e19f0b77d2/x", "credential in its path"),
            ("https://[", "has a URL that is none"),
        ] {
            let header = format!("<{next}>; rel=next");
            let error = turned(&paging, &Place::First, "[]", "[]", &[("link", &header)]).unwrap_err();
            assert!(error.contains(told), "{next}: {error}");
        }
    }

    #[test]
    fn cursors_go_from_body_or_header_to_query_or_body() {
        let cursor = Paging::cursor("meta.next", "after");
        assert_eq!(
            turned(&cursor, &Place::First, "[]", r#"{"meta":{"next":"c2"}}"#, &[]),
            Ok(text("c2")),
            "an empty page goes on"
        );
        assert_eq!(turned(&cursor, &Place::First, "[1]", r#"{"meta":{"next":null}}"#, &[]), Ok(None));
        assert_eq!(turned(&cursor, &Place::First, "[1]", "{}", &[]), Ok(None));
        assert_eq!(asked(&cursor, &Place::Text("c2".into()), ""), Ok("/x?limit=2&after=c2 ".into()));
        assert_eq!(asked(&cursor, &Place::First, ""), Ok("/x?limit=2 ".into()));

        let header = Paging::cursor_in_header("X-Next", "limit");
        assert_eq!(turned(&header, &Place::First, "[]", "[]", &[("x-next", "c2")]), Ok(text("c2")));
        assert_eq!(turned(&header, &Place::First, "[]", "[]", &[("x-next", " ")]), Ok(None));
        assert_eq!(
            asked(&header, &Place::Text("c2".into()), ""),
            Ok("/x?limit=c2 ".into()),
            "what is there is replaced"
        );

        let body = Paging::body_cursor("next", "page.after");
        assert_eq!(
            asked(&body, &Place::Text("c2".into()), r#"{"q":1}"#),
            Ok(r#"/x?limit=2 {"page":{"after":"c2"},"q":1}"#.into())
        );
        assert!(asked(&body, &Place::Text("c2".into()), "").unwrap_err().contains("body is not JSON"));
    }

    #[test]
    fn counted_pages_end_with_an_empty_one_or_where_the_remote_says() {
        let page = Paging::page_number("page");
        assert_eq!(asked(&page, &Place::First, ""), Ok("/x?limit=2&page=1 ".into()));
        assert_eq!(
            turned(&page, &Place::First, "[1]", "{}", &[]),
            Ok(Some(Place::Number(2))),
            "a short page ends nothing"
        );
        assert_eq!(turned(&page, &Place::Number(3), "[]", "{}", &[]), Ok(None));
        let last = page.clone().first(0).last_page("pages");
        assert_eq!(asked(&last, &Place::First, ""), Ok("/x?limit=2&page=0 ".into()));
        assert_eq!(turned(&last, &Place::Number(2), "[]", r#"{"pages":3}"#, &[]), Ok(Some(Place::Number(3))));
        assert_eq!(turned(&last, &Place::Number(3), "[1]", r#"{"pages":3}"#, &[]), Ok(None));
        assert!(turned(&last, &Place::First, "[1]", "{}", &[]).unwrap_err().contains("nothing at \"pages\""));

        let offset = Paging::offset("skip").limit("limit", 50);
        assert_eq!(asked(&offset, &Place::First, ""), Ok("/x?limit=50&skip=0 ".into()));
        assert_eq!(turned(&offset, &Place::Number(50), "[1,2,3]", "{}", &[]), Ok(Some(Place::Number(53))));
        assert_eq!(turned(&offset, &Place::Number(53), "[]", "{}", &[]), Ok(None));
        let total = offset.total("total");
        assert_eq!(turned(&total, &Place::Number(50), "[1]", r#"{"total":51}"#, &[]), Ok(None));
        assert!(
            turned(&total, &Place::Number(50), "[]", r#"{"total":60}"#, &[])
                .unwrap_err()
                .contains("counts 60")
        );
    }

    #[test]
    fn the_last_items_id_leads_on() {
        let paging = Paging::last_id("id", "starting_after").more("has_more");
        let items = r#"[{"id":"a"},{"id":7}]"#;
        assert_eq!(turned(&paging, &Place::First, items, r#"{"has_more":true}"#, &[]), Ok(text("7")));
        assert_eq!(turned(&paging, &Place::First, items, r#"{"has_more":false}"#, &[]), Ok(None));
        for (items, body, told) in [
            (
                "[]",
                r#"{"has_more":true}"#,
                "says at \"has_more\" that there is more, but not where: its page is empty",
            ),
            (
                r#"[{"key":1}]"#,
                r#"{"has_more":true}"#,
                "an item without an id at \"id\": the item has nothing at \"id\": there is key",
            ),
            ("[]", "{}", "nothing at \"has_more\""),
        ] {
            assert!(turned(&paging, &Place::First, items, body, &[]).unwrap_err().contains(told), "{told}");
        }
    }

    #[test]
    fn a_connection_says_where_it_goes_on() {
        let paging = Paging::graphql("viewer.repos").variable("cursor");
        let body = |info: &str| format!(r#"{{"data":{{"viewer":{{"repos":{{"nodes":[]{info}}}}}}}}}"#);
        let more = body(r#","pageInfo":{"hasNextPage":true,"endCursor":"Y3"}"#);
        assert_eq!(turned(&paging, &Place::First, "[]", &more, &[]), Ok(text("Y3")));
        assert_eq!(
            turned(
                &paging,
                &Place::First,
                "[]",
                &body(r#","pageInfo":{"hasNextPage":false,"endCursor":"Y3"}"#),
                &[]
            ),
            Ok(None)
        );
        assert!(
            turned(&paging, &Place::First, "[]", &body(""), &[]).unwrap_err().contains("ask for pageInfo")
        );
        assert!(
            turned(&paging, &Place::First, "[]", &body(r#","pageInfo":{"hasNextPage":true}"#), &[])
                .unwrap_err()
                .contains("no endCursor")
        );
        assert_eq!(
            asked(&paging, &Place::Text("Y3".into()), r#"{"query":"q"}"#),
            Ok(r#"/x?limit=2 {"query":"q","variables":{"cursor":"Y3"}}"#.into())
        );
    }

    #[test]
    fn windows_follow_each_other_to_the_end_and_look_back() {
        let paging = Paging::windows(("since", at(10)), ("until", at(25)), HOUR * 10).look_back(HOUR, "id");
        assert_eq!(
            asked(&paging, &Place::First, ""),
            Ok("/x?limit=2&since=1970-01-01T09:00:00Z&until=1970-01-01T20:00:00Z ".into())
        );
        let second = turned(&paging, &Place::First, "[]", "[]", &[]).unwrap().unwrap();
        assert_eq!(
            asked(&paging.clone().unix_seconds(), &second, ""),
            Ok(format!("/x?limit=2&since={}&until={} ", 19 * 3600, 25 * 3600))
        );
        assert_eq!(turned(&paging, &second, "[1]", "[]", &[]), Ok(None));

        let paged = paging.within(Paging::cursor("next", "after").more("more"));
        let inner =
            turned(&paged, &Place::First, "[1]", r#"{"next":"c2","more":true}"#, &[]).unwrap().unwrap();
        assert!(asked(&paged, &inner, "").unwrap().ends_with("until=1970-01-01T20:00:00Z&after=c2 "));
        let over = turned(&paged, &inner, "[1]", r#"{"next":"c3","more":false}"#, &[]).unwrap().unwrap();
        assert_eq!(over, second, "the next window begins at its first page");

        for (from, to, span) in [(2, 2, HOUR), (3, 2, HOUR), (1, 2, Duration::ZERO)] {
            assert!(
                asked(&Paging::windows(("a", at(from)), ("b", at(to)), span), &Place::First, "").is_err()
            );
        }
    }

    #[test]
    fn a_cursor_of_another_style_is_an_error() {
        for (paging, place) in [
            (Paging::link_header(), Place::Text("a".into())),
            (Paging::cursor("a", "b"), Place::Number(1)),
            (Paging::page_number("a"), Place::Text("1".into())),
            (Paging::graphql("a"), Place::Url("/x".into())),
        ] {
            assert!(asked(&paging, &place, "{}").unwrap_err().contains("another style"), "{paging:?}");
        }
    }
}
