//! `xs:schema` elements, read.

use std::sync::{Arc, OnceLock};

use super::{
    AttributeDecl, AttributeUse, AttributeUses, Base, Complex, Content, Derivation, ElementDecl, Facets,
    Need, Particle, Schemas, Simple, SimpleKind, Term, Type, TypeRef, UNBOUNDED, XSD,
};
use crate::soap::xml::{Element, Name};

/// Adds what one schema declares. `target` stands in for a target namespace that it does not have: that of the schema
/// which includes it.
///
/// # Errors
/// Says what is wrong with the schema.
pub(crate) fn add(schemas: &mut Schemas, schema: &Element, target: Option<&str>) -> Result<(), String> {
    let own = schema.attribute("targetNamespace");
    let reader = Reader {
        target: own.or(target).unwrap_or_default().into(),
        adopted: own.is_none() && target.is_some(),
        elements_qualified: schema.attribute("elementFormDefault") == Some("qualified"),
        attributes_qualified: schema.attribute("attributeFormDefault") == Some("qualified"),
    };
    for child in schema.elements().filter(|child| &*child.name.space == XSD) {
        reader.global(schemas, child).map_err(|what| {
            let named = child.attribute("name").unwrap_or_default();
            format!("the schema of {:?}, {} {named}: {what}", reader.target, child.name.local)
        })?;
    }
    Ok(())
}

struct Reader {
    target: Arc<str>,
    /// The target namespace is that of another schema, which includes this one.
    adopted: bool,
    elements_qualified: bool,
    attributes_qualified: bool,
}

impl Reader {
    fn global(&self, schemas: &mut Schemas, child: &Element) -> Result<(), String> {
        match &*child.name.local {
            "element" => {
                let decl = self.element(child, true)?;
                if let Some(head) = child.attribute("substitutionGroup") {
                    for head in head.split_whitespace() {
                        let head = self.name(child, head)?;
                        schemas.substitutes.entry(head).or_default().push(decl.name.clone());
                    }
                }
                schemas.elements.insert(decl.name.clone(), Arc::new(decl));
            }
            "complexType" => {
                let name = self.own_name(child)?;
                let complex = self.complex(child, Some(name.clone()))?;
                if let Some(base) = &complex.base {
                    schemas.derived.entry(base.name.clone()).or_default().push(name.clone());
                }
                schemas.types.insert(name, Type::Complex(Arc::new(complex)));
            }
            "simpleType" => {
                let name = self.own_name(child)?;
                schemas.types.insert(name, Type::Simple(Arc::new(self.simple(child)?)));
            }
            "group" => {
                let particle = self.model(child)?.ok_or("a group without content")?;
                schemas.groups.insert(self.own_name(child)?, Arc::new(particle));
            }
            "attribute" => {
                let decl = self.attribute(child, true)?;
                schemas.attributes.insert(decl.name.clone(), Arc::new(decl));
            }
            "attributeGroup" => {
                schemas.attribute_groups.insert(self.own_name(child)?, Arc::new(self.uses(child)?));
            }
            "redefine" | "override" => {
                return Err(format!(
                    "xs:{} is not supported: put the changed types in place",
                    child.name.local
                ));
            }
            // Imports and includes are followed by whoever gives the schemas; the rest constrains or explains.
            _ => {}
        }
        Ok(())
    }

    fn own_name(&self, of: &Element) -> Result<Name, String> {
        Ok(Name::new(self.target.clone(), required(of, "name")?))
    }

    /// The name that a reference means.
    fn name(&self, at: &Element, text: &str) -> Result<Name, String> {
        let name = at.scope.name(text)?;
        // A schema that is included without a namespace of its own speaks of the one it becomes a part of.
        if self.adopted && name.space.is_empty() {
            return Ok(Name { space: self.target.clone(), local: name.local });
        }
        Ok(name)
    }

    /// The type that an element or attribute names, or has in place.
    fn type_of(&self, of: &Element) -> Result<Option<TypeRef>, String> {
        if let Some(name) = of.attribute("type") {
            return self.name(of, name).map(|name| Some(TypeRef::Named(name)));
        }
        if let Some(here) = of.child(XSD, "complexType") {
            return Ok(Some(TypeRef::Inline(Type::Complex(Arc::new(self.complex(here, None)?)))));
        }
        let simple = of.child(XSD, "simpleType").map(|here| self.inline_simple(here));
        simple.transpose()
    }

    fn inline_simple(&self, here: &Element) -> Result<TypeRef, String> {
        Ok(TypeRef::Inline(Type::Simple(Arc::new(self.simple(here)?))))
    }

    fn element(&self, of: &Element, global: bool) -> Result<ElementDecl, String> {
        let local = required(of, "name")?;
        let qualified = match of.attribute("form") {
            Some(form) => form == "qualified",
            None => global || self.elements_qualified,
        };
        let space = if qualified { self.target.clone() } else { "".into() };
        let any = || TypeRef::Named(Name::new(XSD, "anyType"));
        Ok(ElementDecl {
            name: Name::new(space, local),
            of: self.type_of(of)?.unwrap_or_else(any),
            nillable: flag(of, "nillable"),
            is_abstract: flag(of, "abstract"),
            fixed: of.attribute("fixed").map(Into::into),
        })
    }

    fn attribute(&self, of: &Element, global: bool) -> Result<AttributeDecl, String> {
        let local = required(of, "name")?;
        let qualified = match of.attribute("form") {
            Some(form) => form == "qualified",
            None => global || self.attributes_qualified,
        };
        let space = if qualified { self.target.clone() } else { "".into() };
        let text = || TypeRef::Named(Name::new(XSD, "anySimpleType"));
        Ok(AttributeDecl {
            name: Name::new(space, local),
            of: self.type_of(of)?.unwrap_or_else(text),
            fixed: of.attribute("fixed").map(Into::into),
        })
    }

    fn complex(&self, of: &Element, name: Option<Name>) -> Result<Complex, String> {
        let derived = |kind: &str| {
            let within = of.child(XSD, kind)?;
            let how = within.elements().find_map(|child| match &*child.name.local {
                "extension" => Some((child, Derivation::Extension)),
                "restriction" => Some((child, Derivation::Restriction)),
                _ => None,
            });
            Some((within, how))
        };
        let (body, base, is_text) = match (derived("complexContent"), derived("simpleContent")) {
            (Some((within, Some((body, how)))), _) => (body, Some((within, how)), false),
            (None, Some((within, Some((body, how))))) => (body, Some((within, how)), true),
            (None, None) => (of, None, false),
            (Some((_, None)), _) | (None, Some((_, None))) => {
                return Err("content that is neither an extension nor a restriction".into());
            }
        };
        let mixed = flag(of, "mixed") || base.is_some_and(|(within, _)| flag(within, "mixed"));
        let content = match body.elements().find(|child| is_beyond(&child.name)) {
            Some(beyond) => {
                Content::Unsupported(format!("xs:{} (XML Schema 1.1) is not supported", beyond.name.local))
            }
            None if is_text => {
                let inline =
                    body.child(XSD, "simpleType").map(|here| self.inline_simple(here)).transpose()?;
                Content::Text { facets: facets(body)?, inline }
            }
            None => Content::Elements(self.model(body)?),
        };
        let base = match base {
            Some((_, how)) => Some(Base { name: self.name(body, required(body, "base")?)?, how }),
            None => None,
        };
        // What restricts or extends anything adds nothing to it.
        let base = base.filter(|base| !base.name.is(XSD, "anyType"));
        let (is_abstract, uses, shape) = (flag(of, "abstract"), self.uses(body)?, OnceLock::new());
        Ok(Complex { name, is_abstract, base, content, uses, mixed, shape })
    }

    /// The sequence, choice, all or group within an element.
    fn model(&self, of: &Element) -> Result<Option<Particle>, String> {
        let is_model = |child: &&Element| {
            &*child.name.space == XSD && matches!(&*child.name.local, "sequence" | "choice" | "all" | "group")
        };
        of.elements().find(is_model).map(|child| self.particle(child)).transpose()
    }

    fn particle(&self, of: &Element) -> Result<Particle, String> {
        let (min, max) = (occurs(of, "minOccurs")?, occurs(of, "maxOccurs")?);
        let parts = || -> Result<Vec<Particle>, String> {
            let is_part = |child: &&Element| {
                &*child.name.space == XSD
                    && matches!(
                        &*child.name.local,
                        "element" | "sequence" | "choice" | "all" | "group" | "any"
                    )
            };
            of.elements().filter(is_part).map(|child| self.particle(child)).collect()
        };
        let term = match (&*of.name.local, of.attribute("ref")) {
            ("element", Some(name)) => Term::ElementRef(self.name(of, name)?),
            ("element", None) => Term::Element(Arc::new(self.element(of, false)?)),
            ("group", Some(name)) => Term::Group(self.name(of, name)?),
            ("sequence", _) => Term::Sequence(parts()?),
            ("choice", _) => Term::Choice(parts()?),
            ("all", _) => Term::All(parts()?),
            ("any", _) => Term::Any,
            (other, _) => return Err(format!("xs:{other} stands where it cannot be understood")),
        };
        Ok(Particle { min, max, term })
    }

    fn uses(&self, of: &Element) -> Result<AttributeUses, String> {
        let mut found = AttributeUses::default();
        for child in of.elements().filter(|child| &*child.name.space == XSD) {
            match (&*child.name.local, child.attribute("ref")) {
                ("attribute", reference) => {
                    let need = match child.attribute("use") {
                        Some("required") => Need::Required,
                        Some("prohibited") => Need::Prohibited,
                        Some(_) | None => Need::Optional,
                    };
                    found.uses.push(match reference {
                        Some(name) => AttributeUse::Ref { name: self.name(child, name)?, need },
                        None => AttributeUse::Own { decl: Arc::new(self.attribute(child, false)?), need },
                    });
                }
                ("attributeGroup", Some(name)) => found.groups.push(self.name(child, name)?),
                ("anyAttribute", _) => found.any = true,
                _ => {}
            }
        }
        Ok(found)
    }

    fn simple(&self, of: &Element) -> Result<Simple, String> {
        let kind = if let Some(body) = of.child(XSD, "restriction") {
            let base = match body.attribute("base") {
                Some(name) => TypeRef::Named(self.name(body, name)?),
                None => {
                    self.inline_simple(body.child(XSD, "simpleType").ok_or("a restriction of nothing")?)?
                }
            };
            SimpleKind::Restriction { base, facets: facets(body)? }
        } else if let Some(body) = of.child(XSD, "list") {
            SimpleKind::List(match body.attribute("itemType") {
                Some(name) => TypeRef::Named(self.name(body, name)?),
                None => self.inline_simple(body.child(XSD, "simpleType").ok_or("a list of nothing")?)?,
            })
        } else if let Some(body) = of.child(XSD, "union") {
            let named = body.attribute("memberTypes").unwrap_or_default().split_whitespace();
            let named = named.map(|name| self.name(body, name).map(TypeRef::Named));
            let here = body.all(XSD, "simpleType").map(|here| self.inline_simple(here));
            SimpleKind::Union(named.chain(here).collect::<Result<_, _>>()?)
        } else {
            SimpleKind::Unsupported("a simpleType that is neither restriction, list nor union".into())
        };
        Ok(Simple { kind, values: OnceLock::new() })
    }
}

/// What only XML Schema 1.1 has, and what changes the meaning of a type.
fn is_beyond(name: &Name) -> bool {
    &*name.space == XSD && matches!(&*name.local, "assert" | "openContent" | "alternative")
}

fn facets(of: &Element) -> Result<Facets, String> {
    let mut found = Facets::default();
    for facet in of.elements().filter(|child| &*child.name.space == XSD) {
        let Some(value) = facet.attribute("value") else { continue };
        let length =
            || value.trim().parse::<usize>().map_err(|_| format!("the length {value:?} is no number"));
        match &*facet.name.local {
            "enumeration" => found.enumeration.push(value.to_owned()),
            "length" => (found.length_min, found.length_max) = (Some(length()?), Some(length()?)),
            "minLength" => found.length_min = Some(length()?),
            "maxLength" => found.length_max = Some(length()?),
            "minInclusive" => found.min = Some(value.trim().to_owned()),
            "maxInclusive" => found.max = Some(value.trim().to_owned()),
            // Patterns, exclusive bounds and digits are the remote's to check.
            _ => {}
        }
    }
    Ok(found)
}

fn required<'a>(of: &'a Element, attribute: &str) -> Result<&'a str, String> {
    of.attribute(attribute).map(str::trim).ok_or_else(|| format!("xs:{} without {attribute}", of.name.local))
}

fn flag(of: &Element, attribute: &str) -> bool {
    matches!(of.attribute(attribute).map(str::trim), Some("true" | "1"))
}

fn occurs(of: &Element, attribute: &str) -> Result<u32, String> {
    match of.attribute(attribute).map(str::trim) {
        None => Ok(1),
        Some("unbounded") => Ok(UNBOUNDED),
        Some(text) => text.parse().map_err(|_| format!("{attribute} is {text:?}, which is no number")),
    }
}
