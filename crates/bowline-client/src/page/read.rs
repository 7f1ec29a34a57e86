//! How an answer becomes a page.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    Page,
    cursor::{Cursor, Place, hash},
    paging::{Paging, Style},
    place,
    turn::{self, Turn},
};
use crate::{
    graphql::{Kind, answer as graphql},
    read::{Cost, Read, Said, Unread},
    report,
    scrub::Scrub,
    verdict::Answer,
};

/// What an item's id is compared by.
pub(super) type Id = [u8; 16];

/// Reads the page at one cursor.
#[derive(Clone)]
pub(super) struct Reader {
    /// Where the items are.
    pub(super) items: String,
    /// Whether an answer without them is an empty page.
    pub(super) may_lack_items: bool,
    pub(super) paging: Paging,
    pub(super) base: Option<Url>,
    pub(super) cursor: Cursor,
}

impl Reader {
    fn page<T: DeserializeOwned>(
        &self,
        answer: &Answer,
        scrub: &Scrub,
    ) -> Result<(Page<T>, Vec<Id>), Unread> {
        if self.is_graphql()
            && let Some(said) = graphql::failed(answer, Kind::Query)
        {
            return Err(Unread::Said(said));
        }
        let document = report::json(answer)?;
        let items = self.items(document)?;
        let print = items_print(&items);
        if print.as_deref().is_some_and(|print| self.cursor.repeats(print)) {
            return Err(Unread::Unfit(format!(
                "holds the same items as page {}: does the remote know the parameter that it is asked with ({})?",
                self.cursor.page() - 1,
                self.cursor
            )));
        }
        let next = self.next(answer, document, &items, print, scrub)?;
        let ids = match self.paging.unique() {
            Some(path) => items.iter().map(|item| id(item, path)).collect::<Result<_, _>>()?,
            None => vec![],
        };
        let decode = |(nth, item): (usize, &&RawValue)| self.decode(nth, item);
        let items = items.iter().enumerate().map(decode).collect::<Result<_, _>>()?;
        Ok((Page { items, next }, ids))
    }

    fn is_graphql(&self) -> bool {
        matches!(self.paging.style, Style::Connection { .. })
    }

    fn items<'a>(&self, document: &'a RawValue) -> Result<Vec<&'a RawValue>, String> {
        if let Style::Connection { path, .. } = &self.paging.style {
            return nodes(document, path);
        }
        if self.may_lack_items && place::find(document, &self.items).is_err() {
            return Ok(vec![]);
        }
        place::array(document, &self.items)
    }

    fn next(
        &self,
        answer: &Answer,
        document: &RawValue,
        items: &[&RawValue],
        print: Option<String>,
        scrub: &Scrub,
    ) -> Result<Option<Cursor>, String> {
        let (headers, url, base) = (&answer.headers, &answer.url, self.base.as_ref());
        let turn = Turn { headers, url, base, document, items, scrub };
        let Some(place) = turn::next(&self.paging, self.cursor.at(), &turn)? else { return Ok(None) };
        let print = print.filter(|_| place.is_number());
        let next = self.cursor.next(place, print).map_err(|page| {
            format!(
                "leads back to page {page}: its next cursor is that page's own; reading stops at page {}",
                self.cursor.page()
            )
        })?;
        Ok(Some(next))
    }

    fn decode<T: DeserializeOwned>(&self, nth: usize, item: &RawValue) -> Result<T, String> {
        let mut json = serde_json::Deserializer::from_str(item.get());
        serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let within = match error.path().to_string().as_str() {
                "." => String::new(),
                path => format!(".{path}"),
            };
            format!("does not fit its type at `{}[{nth}]{within}`: {}", self.items, error.inner())
        })
    }
}

impl<T: DeserializeOwned> Read<Page<T>> for Reader {
    fn good(&self, answer: &Answer, scrub: &Scrub) -> Result<Page<T>, Unread> {
        self.page(answer, scrub).map(|(page, _)| page)
    }

    fn bad(&self, answer: &Answer) -> Option<Said> {
        self.is_graphql().then(|| graphql::refused(answer, Kind::Query)).flatten()
    }

    fn cost(&self, answer: &Answer) -> Option<Cost> {
        self.is_graphql().then(|| graphql::cost(answer)).flatten()
    }
}

/// With the items' ids, for who takes out what came twice.
impl<T: DeserializeOwned> Read<(Page<T>, Vec<Id>)> for Reader {
    fn good(&self, answer: &Answer, scrub: &Scrub) -> Result<(Page<T>, Vec<Id>), Unread> {
        self.page(answer, scrub)
    }

    fn bad(&self, answer: &Answer) -> Option<Said> {
        Read::<Page<T>>::bad(self, answer)
    }

    fn cost(&self, answer: &Answer) -> Option<Cost> {
        Read::<Page<T>>::cost(self, answer)
    }
}

/// A connection's nodes, whichever way they were asked for.
fn nodes<'a>(document: &'a RawValue, path: &str) -> Result<Vec<&'a RawValue>, String> {
    let connection = place::find(document, &format!("data.{path}"))?;
    if place::find(connection, "edges").is_err() {
        return place::array(connection, "nodes")
            .map_err(|error| format!("{error} (at {path:?}): ask for nodes, or for edges {{ node }}"));
    }
    place::array(connection, "edges")?.into_iter().map(|edge| place::find(edge, "node")).collect()
}

/// The hash of a page's items, if it has any.
fn items_print(items: &[&RawValue]) -> Option<String> {
    let all: Vec<&str> = items.iter().map(|item| item.get()).collect();
    (!all.is_empty()).then(|| hash(all.join(",").as_bytes()))
}

fn id(item: &RawValue, path: &str) -> Result<Id, String> {
    let mut id = Id::default();
    id.copy_from_slice(&Sha256::digest(turn::id_of(item, path)?)[..size_of::<Id>()]);
    Ok(id)
}

impl Place {
    /// Whether the remote is told a number there, so that nothing but its items shows whether it listened.
    fn is_number(&self) -> bool {
        match self {
            Self::Number(_) => true,
            Self::Window { at, .. } => at.is_number(),
            Self::First | Self::Url(_) | Self::Text(_) => false,
        }
    }
}
