//! Libraries of Python, as they are.

use bowline_exec::Exec;
use bowline_testing::peer::python;
use serde_json::{Value, json};

use crate::done;

/// A data frame from rows, grouped and summed.
const PANDAS: &str = r#"
import pandas, sys
frame = pandas.read_json(sys.stdin)
print(frame.groupby("customer")["cents"].sum().to_json())
"#;

/// A WSDL read, and a request written.
const ZEEP: &str = r#"
import json, sys, tempfile
import zeep
given = json.load(sys.stdin)
with tempfile.NamedTemporaryFile(suffix=".wsdl") as wsdl:
    wsdl.write(given["wsdl"].encode())
    wsdl.flush()
    client = zeep.Client(wsdl.name)
    message = client.create_message(client.service, "Price", sku=given["sku"])
    print(json.dumps([element.text for element in message.iter() if element.text]))
"#;

const WSDL: &str = r#"<definitions xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:t="urn:shop" targetNamespace="urn:shop"
    xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <message name="Ask"><part name="sku" type="xs:string"/></message>
  <message name="Tell"><part name="cents" type="xs:int"/></message>
  <portType name="Shop"><operation name="Price"><input message="t:Ask"/><output message="t:Tell"/></operation></portType>
  <binding name="Soap" type="t:Shop">
    <soap:binding style="rpc" transport="http://schemas.xmlsoap.org/soap/http"/>
    <operation name="Price"><soap:operation soapAction=""/>
      <input><soap:body use="literal" namespace="urn:shop"/></input>
      <output><soap:body use="literal" namespace="urn:shop"/></output>
    </operation>
  </binding>
  <service name="Shop"><port name="Shop" binding="t:Soap"><soap:address location="http://127.0.0.1:9/"/></port></service>
</definitions>"#;

#[tokio::test]
async fn pandas_groups_rows() {
    let Some(python) = python("pandas") else {
        bowline_testing::skip!("pandas_groups_rows", "needs Python with pandas");
    };
    let rows = json!([{"customer": "a", "cents": 100}, {"customer": "b", "cents": 250}, {"customer": "a", "cents": 1}]);
    let pandas = Exec::new(python.display().to_string()).arg("-c").arg(PANDAS).json(&rows).decode::<Value>();
    assert_eq!(done(&pandas).await, json!({"a": 101, "b": 250}));
}

#[tokio::test]
async fn zeep_writes_a_request() {
    let Some(python) = python("zeep") else {
        bowline_testing::skip!("zeep_writes_a_request", "needs Python with zeep");
    };
    let zeep = Exec::new(python.display().to_string()).arg("-c").arg(ZEEP);
    let zeep = zeep.json(&json!({"wsdl": WSDL, "sku": "ä<1>"})).decode::<Vec<String>>();
    assert_eq!(done(&zeep).await, ["ä<1>"]);
}
