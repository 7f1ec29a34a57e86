use serde_json::{Value, json};

use super::*;
use crate::soap::{
    envelope,
    xml::{self, Element},
};

/// A service with one operation, whose input is the element `In` and whose output is `Out`.
fn service(schema: &str) -> Wsdl {
    let text = format!(
        r#"<definitions targetNamespace="u:s" xmlns="http://schemas.xmlsoap.org/wsdl/" xmlns:s="u:s"
            xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/" xmlns:xs="http://www.w3.org/2001/XMLSchema">
          <types>
            <xs:schema targetNamespace="u:s" elementFormDefault="qualified" xmlns:e="http://schemas.xmlsoap.org/soap/encoding/">
              {schema}
            </xs:schema>
          </types>
          <message name="In"><part name="p" element="s:In"/></message>
          <message name="Out"><part name="p" element="s:Out"/></message>
          <portType name="T">
            <operation name="Do"><input message="s:In"/><output message="s:Out"/></operation>
          </portType>
          <binding name="B" type="s:T">
            <soap:binding transport="http://schemas.xmlsoap.org/soap/http"/>
            <operation name="Do">
              <soap:operation soapAction="do"/>
              <input><soap:body use="literal"/></input><output><soap:body use="literal"/></output>
            </operation>
          </binding>
          <service name="S"><port name="P" binding="s:B"><soap:address location="https://x.example/s"/></port></service>
        </definitions>"#
    );
    Wsdl::read(&text).unwrap()
}

fn given(elements: &str) -> Wsdl {
    service(&format!(
        r#"<xs:element name="In"><xs:complexType><xs:sequence>{elements}</xs:sequence></xs:complexType></xs:element>
           <xs:element name="Out" type="xs:string"/>"#
    ))
}

/// What is within `In`, written without prefixes and with namespaces other than the service's.
fn written(wsdl: &Wsdl, input: &Value) -> Result<String, String> {
    let text = envelope::write(&wsdl.find("Do", None).unwrap(), input, &[])?;
    let root = xml::read(&text).unwrap();
    let body = root.elements().next().unwrap();
    Ok(body.elements().next().map(shown).unwrap_or_default())
}

fn shown(element: &Element) -> String {
    let name = |name: &xml::Name| match &*name.space {
        "u:s" => name.local.to_string(),
        "" => format!("{{}}{}", name.local),
        "http://www.w3.org/2001/XMLSchema-instance" => format!("xsi:{}", name.local),
        _ => name.to_string(),
    };
    let mut text = format!("<{}", name(&element.name));
    for (key, value) in &element.attributes {
        let value = match &*key.local {
            "type" if !key.space.is_empty() => element.scope.name(value).unwrap().to_string(),
            _ => value.clone(),
        };
        text += &format!(" {}={value}", name(key).replace("{}", ""));
    }
    let inner: String = element.elements().map(shown).collect();
    format!("{text}>{}{inner}</>", element.text())
}

fn read(wsdl: &Wsdl, out: &str) -> Result<Value, String> {
    let body = format!(
        "<b xmlns='u:s' xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance' xmlns:s='u:s'>{out}</b>"
    );
    wsdl.find("Do", None).unwrap().read_output(&xml::read(&body).unwrap())
}

#[test]
fn a_request_is_in_the_order_of_the_schema() {
    let wsdl = given(
        r#"<xs:element name="z" type="xs:int"/>
           <xs:element name="a" type="xs:string" minOccurs="0" maxOccurs="3"/>
           <xs:element name="m" minOccurs="0"><xs:complexType><xs:simpleContent><xs:extension base="xs:decimal">
             <xs:attribute name="unit" type="xs:string" use="required"/>
           </xs:extension></xs:simpleContent></xs:complexType></xs:element>"#,
    );
    let input = json!({"m": {"$text": "1.50", "@unit": "kg"}, "a": ["x", "y"], "z": 7});
    assert_eq!(written(&wsdl, &input).unwrap(), "<In><z>7</><a>x</><a>y</><m unit=kg>1.50</></>");
    assert_eq!(written(&wsdl, &json!({"z": 7, "a": null, "m": null})).unwrap(), "<In><z>7</></>");
}

#[test]
fn what_does_not_fit_is_told_with_its_place() {
    let wsdl = given(
        r#"<xs:element name="id" type="xs:int"/>
           <xs:element name="line" minOccurs="0" maxOccurs="2"><xs:complexType><xs:sequence>
             <xs:element name="skuCode" type="xs:string"/>
             <xs:element name="qty"><xs:simpleType><xs:restriction base="xs:int">
               <xs:minInclusive value="1"/><xs:maxInclusive value="99"/>
             </xs:restriction></xs:simpleType></xs:element>
           </xs:sequence><xs:attribute name="kind" use="required"><xs:simpleType><xs:restriction base="xs:string">
             <xs:enumeration value="A"/><xs:enumeration value="B"/>
           </xs:restriction></xs:simpleType></xs:attribute></xs:complexType></xs:element>
           <xs:choice minOccurs="0"><xs:element name="card" type="xs:string"/><xs:element name="iban" type="xs:string"/></xs:choice>"#,
    );
    let line = |key: &str, value: Value| {
        let mut line = json!({"@kind": "A", "skuCode": "s", "qty": 1});
        line[key] = value;
        json!({"id": 1, "line": [{"@kind": "B", "skuCode": "s", "qty": 2}, line]})
    };
    for (input, expected) in [
        (json!({}), "id is missing: int"),
        (json!({"id": null}), "id is missing: int"),
        (json!({"id": "x"}), "id must be int, but is the text \"x\""),
        (json!([1]), "the input must be an object with id, line, card, iban, but is an array of 1"),
        (json!({"id": 1, "ID": 2}), "ID is unknown; did you mean \"id\"?"),
        (json!({"id": 1, "foo": 2}), "foo is unknown: there are id, line, card, iban"),
        (
            json!({"id": 1, "line": {}}),
            "line may be there several times: it must be an array, but is an object",
        ),
        (json!({"id": [1]}), "id must be int, but is an array of 1"),
        (line("sku_code", json!("s")), "line[1].sku_code is unknown; did you mean \"skuCode\"?"),
        (line("qty", json!("two")), "line[1].qty must be int, but is the text \"two\""),
        (line("qty", json!(100)), "line[1].qty is 100, but must be from 1 to 99"),
        (line("skuCode", Value::Null), "line[1].skuCode is missing: string"),
        (line("@kind", json!("C")), "line[1].@kind: must be one of \"A\", \"B\", but is \"C\""),
        (line("@kind", Value::Null), "line[1] has no \"@kind\", which is required"),
        (
            json!({"id": 1, "card": "c", "iban": "i"}),
            "iban cannot be there together with what else is given: In has a choice",
        ),
    ] {
        assert_eq!(written(&wsdl, &input).unwrap_err(), expected, "{input}");
    }
    let good = json!({"@kind": "A", "skuCode": "s", "qty": 1});
    let three = json!({"id": 1, "line": [good, good, good]});
    assert_eq!(written(&wsdl, &three).unwrap_err(), "line has 3 values, but at most 2 can be there");
    assert!(written(&wsdl, &json!({"id": 1, "iban": "i"})).is_ok());
}

#[test]
fn a_choice_takes_the_alternative_that_is_given() {
    let wsdl = given(
        r#"<xs:choice>
             <xs:sequence><xs:element name="a" type="xs:int"/><xs:element name="b" type="xs:int"/></xs:sequence>
             <xs:sequence><xs:element name="a" type="xs:int"/><xs:element name="c" type="xs:int"/></xs:sequence>
             <xs:element name="d" type="xs:int" maxOccurs="unbounded"/>
           </xs:choice>
           <xs:choice minOccurs="0" maxOccurs="unbounded">
             <xs:element name="x" type="xs:int"/><xs:element name="y" type="xs:int"/>
           </xs:choice>"#,
    );
    for (input, expected) in [
        (json!({"b": 2, "a": 1}), "<In><a>1</><b>2</></>"),
        (json!({"c": 2, "a": 1}), "<In><a>1</><c>2</></>"),
        (json!({"d": [1, 2]}), "<In><d>1</><d>2</></>"),
        (json!({"d": [1], "y": [3, 4], "x": [2]}), "<In><d>1</><x>2</><y>3</><y>4</></>"),
    ] {
        assert_eq!(written(&wsdl, &input).as_deref(), Ok(expected), "{input}");
    }
    assert_eq!(written(&wsdl, &json!({})).unwrap_err(), "the input needs one of a, d");
    assert_eq!(written(&wsdl, &json!({"b": 1})).unwrap_err(), "a is missing: int");
}

#[test]
fn a_group_that_repeats_is_written_in_rounds() {
    let wsdl = given(
        r#"<xs:sequence maxOccurs="unbounded">
             <xs:element name="k" type="xs:string"/><xs:element name="v" type="xs:int" minOccurs="0"/>
           </xs:sequence>"#,
    );
    let input = json!({"k": ["a", "b"], "v": [1, 2]});
    assert_eq!(written(&wsdl, &input).unwrap(), "<In><k>a</><v>1</><k>b</><v>2</></>");
    assert_eq!(written(&wsdl, &json!({"k": ["a"], "v": [1, 2]})).unwrap_err(), "k is missing: string");
}

#[test]
fn nothing_is_nil_where_the_schema_allows_it() {
    let wsdl = given(
        r#"<xs:element name="a" type="xs:int" nillable="true"/>
           <xs:element name="b" type="xs:int" nillable="true" minOccurs="0" maxOccurs="9"/>
           <xs:element name="c" minOccurs="0" nillable="true"><xs:complexType><xs:sequence>
             <xs:element name="d" type="xs:int"/></xs:sequence><xs:attribute name="k" type="xs:int"/>
           </xs:complexType></xs:element>"#,
    );
    let input = json!({"a": null, "b": [1, null], "c": {"@k": 3, "@xsi:nil": true}});
    assert_eq!(
        written(&wsdl, &input).unwrap(),
        "<In><a xsi:nil=true></><b>1</><b xsi:nil=true></><c xsi:nil=true k=3></></>"
    );
    assert_eq!(written(&wsdl, &json!({"a": 1, "c": null})).unwrap(), "<In><a>1</><c xsi:nil=true></></>");
}

const ANIMALS: &str = r#"
    <xs:complexType name="Animal" abstract="true"><xs:sequence><xs:element name="name" type="xs:string"/></xs:sequence></xs:complexType>
    <xs:complexType name="Dog"><xs:complexContent><xs:extension base="s:Animal">
      <xs:sequence><xs:element name="barks" type="xs:boolean"/><xs:element name="puppy" type="s:Dog" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
      <xs:attribute name="tag" type="xs:int"/>
    </xs:extension></xs:complexContent></xs:complexType>
    <xs:complexType name="Box"><xs:sequence><xs:element name="animal" type="s:Animal" maxOccurs="unbounded"/></xs:sequence><xs:attribute name="size" type="xs:int"/></xs:complexType>
    <xs:element name="In" type="s:Box"/><xs:element name="Out" type="s:Box"/>"#;

#[test]
fn a_derived_type_is_said_and_read() {
    let wsdl = service(ANIMALS);
    let dog = json!({"@xsi:type": "Dog", "@tag": 1, "name": "Rex", "barks": true, "puppy": []});
    let input = json!({"animal": [dog]});
    assert_eq!(
        written(&wsdl, &input).unwrap(),
        "<In><animal xsi:type={u:s}Dog tag=1><name>Rex</><barks>true</></></>"
    );
    let out = "<Out><animal xsi:type='s:Dog' tag='1'><name>Rex</name><barks>1</barks></animal></Out>";
    assert_eq!(read(&wsdl, out).unwrap(), input);
    let plain = json!({"animal": [{"name": "Rex"}]});
    assert_eq!(
        written(&wsdl, &plain).unwrap_err(),
        "animal[0] is abstract: say which, as {\"@xsi:type\": \"…\"}, of Dog"
    );
    let cat = json!({"animal": [{"@xsi:type": "Cat"}]});
    assert_eq!(
        written(&wsdl, &cat).unwrap_err(),
        "animal[0] has the @xsi:type \"Cat\", but takes Animal, Dog"
    );
    let text = wsdl.operations()[0].to_string();
    assert!(text.contains("animal: [{\n") && text.contains("name: string"), "{text}");
}

#[test]
fn an_answer_is_read_whatever_its_order_and_namespaces() {
    let wsdl = service(
        r#"<xs:element name="In" type="xs:string"/>
           <xs:element name="Out"><xs:complexType><xs:sequence>
             <xs:element name="n" type="xs:int"/><xs:element name="list" type="xs:string" minOccurs="0" maxOccurs="unbounded"/>
             <xs:element name="none" type="xs:string" nillable="true"/><xs:element name="any" type="xs:anyType" minOccurs="0"/>
           </xs:sequence></xs:complexType></xs:element>"#,
    );
    let out = "<Out><list>a</list><more><x>1</x><x>2</x></more><none xsi:nil='1'/><n xmlns=''> 7 </n></Out>";
    assert_eq!(
        read(&wsdl, out).unwrap(),
        json!({"list": ["a"], "more": {"x": ["1", "2"]}, "none": null, "n": 7})
    );
    assert_eq!(read(&wsdl, "<Out><n>1</n></Out>").unwrap(), json!({"list": [], "n": 1}));
    assert_eq!(read(&wsdl, "<Out><n>x</n></Out>").unwrap_err(), "Out: n: should be int, but is \"x\"");
    assert_eq!(
        read(&wsdl, "<Out><n>1</n><n>2</n></Out>").unwrap_err(),
        "Out: n: is there twice, where the schema has it once"
    );
    assert!(read(&wsdl, "<Other/>").unwrap_err().contains("<{u:s}Other>"));
}

#[test]
fn elements_of_any_kind_are_texts_of_xml() {
    let schema = r#"<xs:complexType name="Bag"><xs:sequence><xs:element name="id" type="xs:int"/>
          <xs:any minOccurs="0" maxOccurs="unbounded" processContents="lax"/></xs:sequence><xs:anyAttribute/></xs:complexType>
        <xs:element name="In" type="s:Bag"/><xs:element name="Out" type="s:Bag"/>"#;
    let wsdl = service(schema);
    let xml = "<n1:a xmlns:n1=\"u:x\" k=\"1\"><n1:b>t</n1:b></n1:a>";
    let input = json!({"id": 1, "@{u:y}z": "2", "$any": [xml]});
    assert_eq!(written(&wsdl, &input).unwrap(), "<In {u:y}z=2><id>1</><{u:x}a k=1><{u:x}b>t</></></>");
    let out = format!("<Out y:z='2' xmlns:y='u:y'><id>1</id>{xml}</Out>");
    assert_eq!(read(&wsdl, &out).unwrap(), input);
    let entity = json!({"id": 1, "$any": ["<!DOCTYPE a><a/>"]});
    assert!(written(&wsdl, &entity).unwrap_err().contains("DOCTYPE"));
}

#[test]
fn a_substitute_stands_for_the_head_of_its_group() {
    let schema = r#"<xs:element name="pay" type="xs:string" abstract="true"/>
        <xs:element name="card" type="xs:string" substitutionGroup="s:pay"/>
        <xs:element name="cash" type="xs:int" substitutionGroup="s:pay"/>
        <xs:complexType name="T"><xs:sequence><xs:element ref="s:pay" maxOccurs="2"/></xs:sequence></xs:complexType>
        <xs:element name="In" type="s:T"/><xs:element name="Out" type="s:T"/>"#;
    let wsdl = service(schema);
    let input = json!({"card": ["c"], "cash": [1]});
    assert_eq!(written(&wsdl, &input).unwrap(), "<In><card>c</><cash>1</></>");
    assert_eq!(read(&wsdl, "<Out><cash>1</cash><card>c</card></Out>").unwrap(), input);
}

#[test]
fn equal_local_names_are_told_apart_by_their_namespace() {
    let other = r#"<schema xmlns="http://www.w3.org/2001/XMLSchema" targetNamespace="u:o"><element name="id" type="int"/></schema>"#;
    let text = r#"<definitions xmlns="http://schemas.xmlsoap.org/wsdl/"><types>
      <x:schema xmlns:x="http://www.w3.org/2001/XMLSchema" targetNamespace="u:s" elementFormDefault="qualified" xmlns:o="u:o">
        <x:import namespace="u:o" schemaLocation="o.xsd"/>
        <x:element name="In"><x:complexType><x:sequence><x:element name="id" type="x:string"/><x:element ref="o:id"/></x:sequence></x:complexType></x:element>
      </x:schema></types></definitions>"#;
    let wsdl = Wsdl::read_with(text, |at| (at == "o.xsd").then(|| other.into())).unwrap();
    let decl = wsdl.inner.schemas.element(&xml::Name::new("u:s", "In")).unwrap().clone();
    let mut writer = xml::write::Writer::default();
    let mut encoder = crate::soap::encode::Encoder {
        schemas: &wsdl.inner.schemas,
        writer: &mut writer,
        path: String::new(),
    };
    encoder.element(&decl, &json!({"{u:s}id": "a", "{u:o}id": 1})).unwrap();
    assert_eq!(shown(&xml::read(&writer.finish()).unwrap()), "<In><id>a</><{u:o}id>1</></>");
    let missing = Wsdl::read(text).unwrap();
    assert_eq!(missing.missing(), ["o.xsd"]);
}

#[test]
fn what_is_not_supported_is_named_and_hurts_nobody_else() {
    let wsdl = service(
        r#"<xs:complexType name="List"><xs:complexContent><xs:restriction base="e:Array"/></xs:complexContent></xs:complexType>
           <xs:complexType name="Loop"><xs:complexContent><xs:extension base="s:Loop"/></xs:complexContent></xs:complexType>
           <xs:simpleType name="Round"><xs:restriction base="s:Round"/></xs:simpleType>
           <xs:element name="In"><xs:complexType><xs:choice>
             <xs:element name="list" type="s:List"/><xs:element name="loop" type="s:Loop"/>
             <xs:element name="round" type="s:Round"/><xs:element name="gone" type="s:Gone"/>
             <xs:element name="good" type="xs:int"/>
           </xs:choice></xs:complexType></xs:element><xs:element name="Out" type="xs:string"/>"#,
    );
    assert_eq!(written(&wsdl, &json!({"good": 1})).unwrap(), "<In><good>1</></>");
    for (key, part) in [
        ("list", "{http://schemas.xmlsoap.org/soap/encoding/}Array is declared nowhere"),
        ("loop", "is one its own base?"),
        ("round", "is one its own base?"),
        ("gone", "{u:s}Gone is declared nowhere"),
    ] {
        let what = written(&wsdl, &json!({key: {}})).unwrap_err();
        assert!(what.starts_with(key) && what.contains(part), "{what}");
    }
}

#[test]
fn a_wsdl_that_is_none_says_what_it_is() {
    for (text, part) in [
        ("<html/>", "a document of <html>: is it another page?"),
        ("<description xmlns='http://www.w3.org/ns/wsdl'/>", "WSDL 2.0 is not supported"),
        ("<!DOCTYPE html><html/>", "DOCTYPE"),
        ("{}", "no XML"),
        (
            "<definitions xmlns='http://schemas.xmlsoap.org/wsdl/' xmlns:s='u'><service name='a'><port name='p' binding='s:b'/></service></definitions>",
            "the binding {u}b is not in this WSDL",
        ),
    ] {
        let error = Wsdl::read(text).unwrap_err();
        assert!(error.to_string().contains(part) && !error.is_retryable(), "{error}");
    }
    let loops = Wsdl::read_with(
        "<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'><import location='a/b.wsdl'/></definitions>",
        |_| {
            Some("<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'><import location='../a/b.wsdl'/></definitions>".into())
        },
    );
    assert!(loops.is_ok());
    let mut count = 0;
    let endless = Wsdl::read_with(
        "<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'><import location='0'/></definitions>",
        |_| {
            count += 1;
            Some(format!(
                "<definitions xmlns='http://schemas.xmlsoap.org/wsdl/'><import location='{count}'/></definitions>"
            ))
        },
    );
    assert!(endless.unwrap_err().to_string().contains("more than 256 documents"));
}

#[test]
fn groups_that_double_are_stopped() {
    let mut schema = String::from(
        "<xs:group name='g0'><xs:sequence><xs:element name='a' type='xs:int'/></xs:sequence></xs:group>",
    );
    for n in 1..40 {
        let inner = n - 1;
        schema += &format!(
            "<xs:group name='g{n}'><xs:sequence><xs:group ref='s:g{inner}'/><xs:group ref='s:g{inner}'/></xs:sequence></xs:group>"
        );
    }
    schema += "<xs:element name='In'><xs:complexType><xs:group ref='s:g39'/></xs:complexType></xs:element><xs:element name='Out' type='xs:int'/>";
    let wsdl = service(&schema);
    assert!(written(&wsdl, &json!({"a": [1]})).unwrap_err().contains("groups within groups"));
    assert!(wsdl.operations()[0].to_string().contains("groups within groups"));
}
