//! Elements of XML, whatever the chunks.

use bowline_client::stream::{Error, LEVELS_MAX, Split, XmlElements};
use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;

use crate::streaming::{Outcome, drive};

/// The elements as they are written, the same in chunks of all sizes.
fn split(path: &str, text: &[u8]) -> Outcome<Bytes> {
    let whole = drive(XmlElements::at(path).unwrap(), text, &[text.len().max(1)], XmlElements::next_bytes);
    for size in [1, 2, 3, 7, 16] {
        let parts = drive(XmlElements::at(path).unwrap(), text, &[size], XmlElements::next_bytes);
        assert_eq!(parts, whole, "{:?} in chunks of {size}", String::from_utf8_lossy(text));
    }
    whole
}

fn elements(path: &str, text: &str) -> Vec<String> {
    let (items, failed) = split(path, text.as_bytes());
    assert_eq!(failed, None, "{text}");
    items.into_iter().map(|item| String::from_utf8(item.unwrap().to_vec()).unwrap()).collect()
}

fn error(path: &str, text: impl AsRef<[u8]>) -> Error {
    let text = text.as_ref();
    split(path, text).1.unwrap_or_else(|| panic!("{} was accepted", String::from_utf8_lossy(text)))
}

#[derive(Deserialize, PartialEq, Debug)]
struct Order {
    #[serde(rename = "@id")]
    id: u32,
    #[serde(default, rename = "line")]
    lines: Vec<Line>,
    note: Option<String>,
}

#[derive(Deserialize, PartialEq, Debug)]
struct Line {
    #[serde(rename = "@sku")]
    sku: String,
    #[serde(rename = "$text")]
    quantity: u32,
}

#[test]
fn elements_become_types() {
    let text = r#"<?xml version="1.0" encoding="utf-8"?>
        <!-- export > of <today> -->
        <o:orders xmlns:o="urn:o"><o:count>2</o:count>
        <o:order id="1"><o:line sku="a>b">2</o:line><o:note><![CDATA[<&]]> &lt;&#x41;</o:note><o:line sku="c">3</o:line></o:order>
        <o:order id='2'/>
        </o:orders>
        "#;
    let mut orders = XmlElements::at("orders.order").unwrap();
    orders.feed(text.into());
    orders.end();
    let line = |sku: &str, quantity| Line { sku: sku.into(), quantity };
    let first = Order { id: 1, lines: vec![line("a>b", 2), line("c", 3)], note: Some("<& <A".into()) };
    assert_eq!(orders.next_item().unwrap(), Some(first));
    assert_eq!(orders.next_item().unwrap(), Some(Order { id: 2, lines: vec![], note: None }));
    assert_eq!(orders.next_item::<Order>().unwrap(), None);
}

#[test]
fn only_elements_at_the_path_are_items() {
    let text =
        "\u{feff}<a><b><c>1</c><d><c>no</c></d></b><c>no</c><b/><b><c x=\"/c>\">2<c>in</c></c><c/></b></a>";
    assert_eq!(elements("a.b.c", text), ["<c>1</c>", "<c x=\"/c>\">2<c>in</c></c>", "<c/>"]);
    assert_eq!(elements("/a/c", text), ["<c>no</c>"]);
    assert_eq!(elements("a", "<a>x</a> "), ["<a>x</a>"]);
    assert!(elements("a.x", text).is_empty(), "an empty list is left out as often as not");
}

#[test]
fn a_prefix_counts_where_the_path_has_one() {
    let text = "<x:a><y:b>1</y:b><b>2</b></x:a>";
    assert_eq!(elements("a.b", text), ["<y:b>1</y:b>", "<b>2</b>"]);
    assert_eq!(elements("x:a.y:b", text), ["<y:b>1</y:b>"]);
    assert!(matches!(error("z:a.b", text), Error::Missing { .. }));
}

#[test]
fn what_can_declare_entities_is_refused() {
    for text in [
        "<!DOCTYPE a [<!ENTITY e SYSTEM \"file:///etc/passwd\">]><a><b>&e;</b></a>",
        "<!doctype html><html></html>",
        "<?xml version=\"1.0\"?>\n<!DOCTYPE a>\n<a/>",
        "<a><!DOCTYPE a></a>",
    ] {
        let told = error("a.b", text).to_string();
        assert!(told.contains("(DTD); those are refused"), "{told}");
    }
    let mut items = XmlElements::at("a.b").unwrap();
    items.feed("<a><b>&e;</b><b>&amp;</b></a>".into());
    assert!(items.next_item::<String>().unwrap_err().is_item());
    assert_eq!(items.next_item::<String>().unwrap().as_deref(), Some("&"));
}

#[test]
fn what_is_cut_anywhere_ends_early() {
    let text = "<?xml version=\"1.0\"?><!-- c --><a x='1'><b><![CDATA[]]]]>é</b></a>";
    for end in 0..text.len() {
        let (_, failed) = split("a.b", &text.as_bytes()[..end]);
        let failed = failed.unwrap_or_else(|| panic!("cut at {end} was accepted"));
        assert!(failed.is_truncated() || !text.is_char_boundary(end), "cut at {end}: {failed}");
    }
    assert_eq!(elements("a.b", text), ["<b><![CDATA[]]]]>é</b>"]);
}

#[test]
fn what_is_no_xml_is_refused() {
    for (text, part) in [
        ("{\"a\": 1}", "text outside of the root"),
        ("<a/>x", "text outside of the root"),
        ("<a/><b/>", "a second root"),
        ("</a>", "did not begin"),
        ("<a><b></a></b>", "</a> where </b> was expected"),
        ("<a><1/></a>", "is not the name"),
        ("<a><></a>", "without a name"),
        ("<a><b x=1/></a>", "attribute"),
        ("<a><b x='1' x='2'/></a>", "attribute"),
        ("<a><b <c/></a>", "a `<` within a tag"),
        ("<a></a x='1'>", "no attributes"),
        ("<a><!b></a>", "no comment and no CDATA"),
        ("<![CDATA[x]]><a/>", "no comment and no CDATA"),
        ("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>", "encoded as ISO-8859-1"),
        ("<?>", "ends early"),
        ("<a><?><b/><?p ?></a>", "instruction without a name"),
    ] {
        let told = error("a.z", text).to_string();
        assert!(told.contains(part), "{text}: {told}");
    }
    assert!(matches!(error("a.b", b"<a>\xff</a>"), Error::NotUtf8 { offset: 3 }));
    assert!(XmlElements::at("").is_err() && XmlElements::at("a..b").is_err());
}

#[test]
fn what_the_path_leads_through_must_be_there() {
    assert_eq!(
        error("feed.entries.entry", "<feed><items><entry/></items><items/><title/></feed>").to_string(),
        r#"nothing at "feed.entries.entry": what is at "feed", up to byte 52, has items, title"#
    );
    assert!(error("feed.entry", "<html/>").to_string().ends_with("has html"));
}

#[test]
fn elements_have_limits() {
    let deep = "<a>".repeat(LEVELS_MAX + 1);
    assert!(matches!(error("a.b", deep), Error::TooDeep { offset: 384, .. }));
    let small = |text: &'static str, size: usize| {
        drive(
            XmlElements::at("a.b").unwrap().item_bytes_max(10),
            text.as_bytes(),
            &[size],
            XmlElements::next_bytes,
        )
    };
    for size in [1, 3, 100] {
        let (items, failed) = small("<a><b>345</b><b>3456</b></a>", size);
        assert_eq!(items.len(), 1);
        assert_eq!(failed, Some(Error::TooLarge { index: 1, offset: 13, bytes_max: 10 }));
        assert_eq!(small("<a><!-- as long as it likes --><b/></a>", size).1, None);
        assert!(matches!(small("<a><cccccccccc/></a>", size).1, Some(Error::TooLarge { .. })));
    }
}

proptest! {
    #[test]
    fn items_are_the_elements_that_were_written(
        texts in prop::collection::vec("[a-zé&<>\"' ]{0,12}", 0..8),
        between in prop::sample::select(vec!["", "\n  ", "<!-- > -->", "<x><entry>no</entry></x>", "<?pi <entry> ?>"]),
        size in 1_usize..30,
    ) {
        let escaped = |text: &String| quick_escape(text);
        let body: String = texts.iter().map(|text| format!("<entry a=\"{0}\">{0}</entry>{between}", escaped(text))).collect();
        let document = format!("<feed>{between}{body}</feed>");
        #[derive(Deserialize, Debug, PartialEq, Clone)]
        struct Entry { #[serde(rename = "@a")] a: String }
        let (items, failed) = drive(
            XmlElements::at("feed.entry").unwrap(), document.as_bytes(), &[size], XmlElements::next_item::<Entry>,
        );
        prop_assert_eq!(failed, None);
        let items: Vec<_> = items.into_iter().map(|item| item.unwrap().a).collect();
        prop_assert_eq!(items, texts);
    }
}

fn quick_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
