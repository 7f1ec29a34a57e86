use proptest::prelude::*;

use super::{write::Writer, *};

fn shown(element: &Element) -> String {
    let mut text = format!("<{}", element.name);
    element.attributes.iter().for_each(|(name, value)| text += &format!(" {name}={value:?}"));
    text.push('>');
    for child in &element.children {
        match child {
            Node::Element(child) => text += &shown(child),
            Node::Text(child) => text += &format!("{child:?}"),
        }
    }
    text + "</>"
}

#[test]
fn names_are_resolved_where_they_stand() {
    let tree = read(
        "<?xml version=\"1.0\"?><!-- c --><a xmlns='u:1' xmlns:p=\"u:2\" p:k=\"1\" k=\"2\"><b xmlns=''>\
         <p:c xmlns:p='u:3'/></b><?pi x?><d>x<![CDATA[<&]]>&amp;&#x41;&#66;</d></a>\n",
    )
    .unwrap();
    assert_eq!(shown(&tree), "<{u:1}a {u:2}k=\"1\" k=\"2\"><b><{u:3}c></></><{u:1}d>\"x<&&AB\"</></>");
    let value = tree.scope.name(" p:x ").unwrap();
    assert!(value.is("u:2", "x"));
    assert!(tree.scope.name("x").unwrap().is("u:1", "x"));
    assert!(tree.scope.name("q:x").is_err());
}

#[test]
fn line_ends_and_white_space_are_as_the_standard_says() {
    let tree = read("<a b='x\r\n\ty&#10;z'>p\r\nq\rr&#13;</a>").unwrap();
    assert_eq!(tree.attribute("b"), Some("x  y\nz"));
    assert_eq!(tree.text(), "p\nq\nr\r");
}

#[test]
fn what_is_no_good_document_is_refused_with_a_reason() {
    let deep = format!("{}{}", "<a>".repeat(129), "</a>".repeat(129));
    let many: String = (0..257).map(|n| format!(" a{n}='1'")).collect();
    let spaces: String = (0..200).map(|n| format!(" xmlns:a{n}='u'")).collect();
    let spaces = format!("<a{spaces}><a{}/></a>", spaces.replace(":a", ":b"));
    for (text, part) in [
        ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", "DOCTYPE"),
        ("<!DOCTYPE html><html></html>", "DOCTYPE"),
        ("<a>&nbsp;</a>", "&nbsp; is an entity"),
        ("<a b='&x;'/>", "attribute b"),
        ("<a>&#0;</a>", "&#0;"),
        ("<a>&#1;</a>", "U+0001"),
        ("<a>\u{1}</a>", "U+0001 at byte 3"),
        ("<a b='&#2;'/>", "U+0002"),
        ("<a>", "ends within <a>"),
        ("<a", "not well-formed"),
        ("<a></b>", "not well-formed"),
        ("</a>", "not well-formed"),
        ("<a/><b/>", "<b> after the end"),
        ("<a/>x", "outside"),
        ("x<a/>", "outside"),
        ("&#65;<a/>", "outside"),
        ("", "no element"),
        ("<a b='1' b='2'/>", "duplicated"),
        ("<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", "there twice"),
        ("<a b=1/>", "<a>"),
        ("<a b='<'/>", "holds a <"),
        ("<p:a/>", "\"p\""),
        ("<a p:b='1'/>", "\"p\""),
        ("<a xmlns:p=''/>", "cannot be declared"),
        ("<a xmlns:xml='u'/>", "cannot be declared"),
        ("<:a/>", "no name"),
        ("<a:b:c xmlns:a='u'/>", "no name"),
        ("<1/>", "no name"),
        ("<a>]]></a>", "]]>"),
        ("<a><!-- -- --></a>", "not well-formed"),
        ("<a/><?xml version='1.0'?>", "after the start"),
        (deep.as_str(), "deeper than 128"),
        (format!("<a{many}/>").as_str(), "more than 256 attributes"),
        (spaces.as_str(), "more than 256 namespaces"),
    ] {
        let what = read(text).expect_err(text);
        assert!(what.contains(part), "{text}: {what}");
    }
    assert!(read(&format!("{}{}", "<a>".repeat(128), "</a>".repeat(128))).is_ok());
}

fn text() -> impl Strategy<Value = String> {
    // What could need an escape, more often than by chance.
    proptest::collection::vec(
        prop_oneof![
            proptest::char::any().prop_filter("XML can hold it", |c| is_char(*c)),
            proptest::sample::select(vec!['<', '>', '&', '"', '\'', '\r', '\n', '\t', ' ', ']', '-']),
        ],
        1..12,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn name() -> impl Strategy<Value = Name> {
    ("(|u:1|u:2|a&b)", "[a-z_é][a-z0-9.-]{0,3}")
        .prop_map(|(space, local)| Name::new(space.as_str(), local.as_str()))
}

fn element() -> impl Strategy<Value = Element> {
    let attributes = || {
        proptest::collection::vec((name(), text()), 0..4).prop_map(|mut list| {
            list.sort();
            list.dedup_by(|a, b| a.0 == b.0);
            list
        })
    };
    let element =
        |name, attributes, children| Element { name, attributes, children, scope: Scope::default() };
    let leaf = (name(), attributes()).prop_map(move |(name, attributes)| element(name, attributes, vec![]));
    leaf.prop_recursive(4, 24, 4, move |inner| {
        // Two texts in a row would be one.
        let children = proptest::collection::vec((inner, proptest::option::of(text())), 0..4);
        (name(), attributes(), children).prop_map(move |(name, attributes, children)| {
            let children = children.into_iter().flat_map(|(child, text)| {
                [Some(Node::Element(child)), text.map(Node::Text)].into_iter().flatten()
            });
            element(name, attributes, children.collect())
        })
    })
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_it_was(tree in element()) {
        let mut writer = Writer::default();
        writer.tree(&tree);
        let text = writer.finish();
        let back = read(&text).map_err(|what| TestCaseError::fail(format!("{what}: {text}")))?;
        prop_assert_eq!(shown(&back), shown(&tree), "{}", text);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(<|>|&|;|!|\\[|\\]|a|b|:|=|'|\"|/|\\?|x|-| |\\PC){0,40}") {
        let _ = read(&text);
    }
}
