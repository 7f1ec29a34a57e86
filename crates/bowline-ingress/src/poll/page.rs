//! From what was found to events and a cursor that moves. Pure.

use bowline_model::WorkflowName;
use bowline_store::CursorMove;
use jiff::Timestamp;

use super::{
    CURSOR_BYTES_MAX, PAGE_BYTES_MAX, PollSpec,
    erased::{Answer, AnswerItem},
    place::Row,
};
use crate::{TriggerKind, VerifiedEvent};

/// What a poll's answer comes to.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) events: Vec<(VerifiedEvent, Vec<WorkflowName>)>,
    pub(super) cursor: Option<CursorMove>,
    /// Whether the next poll begins at once.
    pub(super) more: bool,
}

/// Decides what is accepted.
///
/// # Errors
/// What is wrong with the answer: fact, value, hint.
pub(super) fn page(spec: &PollSpec, row: Row, answer: Answer, now: Timestamp) -> Result<Page, String> {
    check(spec, &row, &answer)?;
    let source = TriggerKind::Poll.source(&spec.name);
    let step = row.step();
    let mut events = Vec::with_capacity(answer.items.len());
    for (place, AnswerItem { key, body }) in answer.items.into_iter().enumerate() {
        // Told apart from each other, whatever keys look like.
        let id = match key {
            Some(key) if key.is_empty() => return Err(format!("item {} has an empty key", place + 1)),
            Some(key) => format!("key/{key}"),
            None => format!("step/{step}/{place}"),
        };
        let event =
            VerifiedEvent::from_program(&*source, &spec.name, Some(id), body, now, spec.every.dedupe_for);
        let event = event.map_err(|rejection| format!("item {}: {rejection}; shorten its key", place + 1))?;
        events.push((event, vec![spec.workflow.clone()]));
    }
    let is_moved = row.is_moved_by(answer.next.as_deref());
    let cursor = answer.next.filter(|_| is_moved).map(|next| row.moved(source, next));
    // The same question again at once would only have the same answer.
    Ok(Page { more: answer.more && is_moved, events, cursor })
}

fn check(spec: &PollSpec, row: &Row, answer: &Answer) -> Result<(), String> {
    let (items, items_max) = (answer.items.len(), spec.every.items_max);
    if items > items_max {
        return Err(format!(
            "found {items} items at once (limit {items_max}); read a page at a time and say .more(true), or raise .items_max(..)"
        ));
    }
    let bytes_max = spec.every.item_bytes_max;
    let large = answer.items.iter().enumerate().find(|(_, item)| item.body.len() > bytes_max);
    if let Some((place, item)) = large {
        return Err(format!(
            "item {} has {} bytes (limit {bytes_max}); find a reference and fetch the item in its run, or raise .item_bytes_max(..)",
            place + 1,
            item.body.len()
        ));
    }
    let bytes: usize = answer.items.iter().map(|item| item.body.len()).sum();
    if bytes > PAGE_BYTES_MAX {
        return Err(format!(
            "found {bytes} bytes at once (limit {PAGE_BYTES_MAX}); read a smaller page at a time and say .more(true)"
        ));
    }
    let cursor_bytes = answer.next.as_ref().map_or(0, |next| next.get().len());
    if cursor_bytes > CURSOR_BYTES_MAX {
        return Err(format!(
            "its cursor has {cursor_bytes} bytes (limit {CURSOR_BYTES_MAX}); keep a reference"
        ));
    }
    let is_nameless = answer.items.iter().any(|item| item.key.is_none());
    if is_nameless && !row.is_moved_by(answer.next.as_deref()) {
        return Err(format!(
            "found {items} items that nothing tells from the last ones: the cursor did not move, and they have no keys; \
             add .keyed(|item| item.id), or .next(cursor)"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::value::RawValue;

    use super::*;
    use crate::poll::{Asking, Every, Found};

    fn spec() -> PollSpec {
        let asking = Asking::new(async |_, _: Option<()>| Ok(Found::<u32>::nothing()));
        PollSpec::new(
            "new orders",
            Every::new(Duration::from_secs(30)).items_max(3).item_bytes_max(10),
            asking,
            "w".into(),
        )
    }

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    fn item(key: Option<&str>, body: &str) -> AnswerItem {
        AnswerItem { key: key.map(ToOwned::to_owned), body: body.to_owned().into() }
    }

    fn row() -> Row {
        Row::read(Some(r#"{"step":4,"cursor":"a"}"#.to_owned())).unwrap()
    }

    fn decide(items: Vec<AnswerItem>, next: Option<&str>) -> Result<Page, String> {
        let answer = Answer { items, next: next.map(raw), more: true };
        page(&spec(), row(), answer, Timestamp::UNIX_EPOCH)
    }

    fn ids(page: &Page) -> Vec<&str> {
        page.events.iter().map(|(event, _)| event.id().unwrap()).collect()
    }

    #[test]
    fn an_item_is_named_by_its_key_or_by_step_and_position() {
        let page =
            decide(vec![item(Some("17"), "1"), item(None, "2"), item(None, "3")], Some("\"b\"")).unwrap();
        assert_eq!(ids(&page), ["key/17", "step/4/1", "step/4/2"]);
        let cursor = page.cursor.unwrap();
        assert_eq!(cursor.name, "poll/new orders");
        assert_eq!(cursor.from.as_deref(), Some(r#"{"step":4,"cursor":"a"}"#));
        assert_eq!(cursor.to, r#"{"step":5,"cursor":"b"}"#);
        assert!(page.more);
    }

    #[test]
    fn a_cursor_that_comes_again_names_other_items() {
        let later = Row::read(Some(r#"{"step":9,"cursor":"a"}"#.to_owned())).unwrap();
        let answer = Answer { items: vec![item(None, "1")], next: Some(raw("\"b\"")), more: false };
        let again = page(&spec(), later, answer, Timestamp::UNIX_EPOCH).unwrap();
        assert_ne!(ids(&again), ids(&decide(vec![item(None, "1")], Some("\"b\"")).unwrap()));
    }

    #[test]
    fn what_found_nothing_new_writes_nothing_and_is_not_asked_again_at_once() {
        for next in [None, Some("\"a\"")] {
            let page = decide(vec![], next).unwrap();
            assert!(page.cursor.is_none() && page.events.is_empty() && !page.more, "{next:?}");
        }
    }

    #[test]
    fn every_limit_says_what_to_do() {
        let many = (0..4).map(|_| item(Some("k"), "1")).collect();
        let key = "k".repeat(600);
        for (found, expected) in [
            (
                decide(many, None),
                "found 4 items at once (limit 3); read a page at a time and say .more(true)",
            ),
            (decide(vec![item(Some("1"), "12345678901")], None), "item 1 has 11 bytes (limit 10)"),
            (decide(vec![item(None, "1")], None), "add .keyed(|item| item.id), or .next(cursor)"),
            (decide(vec![item(None, "1")], Some("\"a\"")), "the cursor did not move"),
            (decide(vec![item(Some(""), "1")], None), "item 1 has an empty key"),
            (decide(vec![item(Some(&key), "1")], None), "604 bytes (limit 512)"),
            (decide(vec![], Some(&format!("\"{}\"", "c".repeat(70_000)))), "its cursor has 70002 bytes"),
        ] {
            let problem = found.unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_row_of_something_else_is_refused() {
        for text in ["", "17", "{\"step\":1}", "{\"step\":-1,\"cursor\":1}"] {
            assert!(Row::read(Some(text.to_owned())).is_err(), "{text}");
        }
        assert!(Row::read(None).unwrap().cursor().is_none());
    }
}
