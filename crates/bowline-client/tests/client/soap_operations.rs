//! What a WSDL offers, beside what Zeep finds in it: services, names, styles, and all that goes in, in the schema's order.

use std::{path::Path, process::Command};

use bowline_client::soap::{Operation, Wsdl};
use serde_json::{Value, json};

/// What our listing says, in the form in which Zeep's is printed.
pub(crate) fn listed(wsdl: &Wsdl) -> Vec<Value> {
    wsdl.operations().iter().map(listed_one).collect()
}

fn listed_one(operation: &Operation) -> Value {
    let text = operation.to_string();
    let style = match text.lines().next() {
        Some(head) if head.ends_with(", document)") => "document",
        Some(head) if head.ends_with(", RPC)") => "rpc",
        head => panic!("{head:?}"),
    };
    assert_eq!(operation.problem(), None, "{text}");
    json!([operation.service(), operation.port(), operation.name(), style, fields(&text)])
}

/// The ways to all that goes in, of a text that people read.
fn fields(text: &str) -> Vec<String> {
    let input = text.lines().skip_while(|line| !line.starts_with("  in: ")).skip(1);
    let mut way: Vec<(usize, &str)> = vec![];
    let mut found = vec![];
    for line in input.take_while(|line| !line.starts_with("  out: ")) {
        let (depth, line) = (line.len() - line.trim_start().len(), line.trim());
        way.retain(|(outer, _)| *outer < depth);
        match line.split_once(": ") {
            Some((name, _)) => {
                way.push((depth, name));
                found.push(way.iter().map(|(_, name)| *name).collect::<Vec<_>>().join("."));
            }
            None => assert!(line.starts_with(['}', ']']) || line == "one of", "{line}"),
        }
    }
    found
}

/// What Zeep finds at that address.
pub(crate) fn of_zeep(python: &Path, url: &str) -> Vec<Value> {
    let script = include_str!("peers/zeep_operations.py");
    let zeep = Command::new(python).args(["-c", script, url]).output().unwrap();
    assert!(zeep.status.success(), "{}", String::from_utf8_lossy(&zeep.stderr));
    serde_json::from_slice(&zeep.stdout).unwrap()
}
