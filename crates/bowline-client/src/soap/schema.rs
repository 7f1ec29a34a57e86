//! The types of messages, as XML Schema describes them.
//!
//! What comes in: `xs:schema` elements, read by [`read`]. What goes out: for any element, what may be in it, with
//! references followed and bases merged ([`shape`]). What is not understood is kept with its name, and is an error
//! only for what needs it.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use super::xml::Name;

pub(crate) mod builtin;
pub(crate) mod read;
pub(crate) mod shape;
pub(crate) mod values;

pub(crate) use builtin::Builtin;
pub(crate) use shape::{Shape, ShapeContent};
pub(crate) use values::Values;

/// The namespace of XML Schema.
pub(crate) const XSD: &str = "http://www.w3.org/2001/XMLSchema";
/// The namespace of `xsi:nil` and `xsi:type`.
pub(crate) const XSI: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// For `maxOccurs="unbounded"`.
pub(crate) const UNBOUNDED: u32 = u32::MAX;
/// Longest chain of bases, references or groups that is followed.
const CHAIN_MAX: usize = 64;

/// All that the schemas of a WSDL declare.
#[derive(Default)]
pub(crate) struct Schemas {
    pub(crate) elements: HashMap<Name, Arc<ElementDecl>>,
    pub(crate) types: HashMap<Name, Type>,
    pub(crate) groups: HashMap<Name, Arc<Particle>>,
    pub(crate) attributes: HashMap<Name, Arc<AttributeDecl>>,
    pub(crate) attribute_groups: HashMap<Name, Arc<AttributeUses>>,
    /// Elements that may stand for another one, by that one's name, in the order of their declaration.
    pub(crate) substitutes: HashMap<Name, Vec<Name>>,
    /// Types by the name of their base, in the order of their declaration.
    pub(crate) derived: HashMap<Name, Vec<Name>>,
}

/// An element's declaration.
pub(crate) struct ElementDecl {
    pub(crate) name: Name,
    pub(crate) of: TypeRef,
    pub(crate) nillable: bool,
    pub(crate) is_abstract: bool,
    pub(crate) fixed: Option<String>,
}

/// A type, by name or in place.
#[derive(Clone)]
pub(crate) enum TypeRef {
    Named(Name),
    Inline(Type),
}

/// A type.
#[derive(Clone)]
pub(crate) enum Type {
    Simple(Arc<Simple>),
    Complex(Arc<Complex>),
}

/// A type of values.
pub(crate) struct Simple {
    pub(crate) kind: SimpleKind,
    pub(crate) values: OnceLock<Result<Arc<Values>, String>>,
}

pub(crate) enum SimpleKind {
    Restriction { base: TypeRef, facets: Facets },
    List(TypeRef),
    Union(Vec<TypeRef>),
    Unsupported(String),
}

/// What a restriction says.
#[derive(Clone, Default)]
pub(crate) struct Facets {
    pub(crate) enumeration: Vec<String>,
    pub(crate) length_min: Option<usize>,
    pub(crate) length_max: Option<usize>,
    pub(crate) min: Option<String>,
    pub(crate) max: Option<String>,
}

/// A type of elements with children or attributes.
pub(crate) struct Complex {
    pub(crate) name: Option<Name>,
    pub(crate) is_abstract: bool,
    pub(crate) base: Option<Base>,
    pub(crate) content: Content,
    pub(crate) uses: AttributeUses,
    pub(crate) mixed: bool,
    pub(crate) shape: OnceLock<Result<Arc<Shape>, String>>,
}

/// What a type is derived from.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) name: Name,
    pub(crate) how: Derivation,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Derivation {
    Extension,
    Restriction,
}

pub(crate) enum Content {
    /// Children, or none.
    Elements(Option<Particle>),
    /// A value. The facets, and a type in place, are those of a restriction.
    Text {
        facets: Facets,
        inline: Option<TypeRef>,
    },
    Unsupported(String),
}

/// A part of what an element holds, and how often.
#[derive(Clone)]
pub(crate) struct Particle {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) term: Term,
}

#[derive(Clone)]
pub(crate) enum Term {
    Element(Arc<ElementDecl>),
    ElementRef(Name),
    Sequence(Vec<Particle>),
    All(Vec<Particle>),
    Choice(Vec<Particle>),
    Group(Name),
    /// Any element.
    Any,
}

/// Attributes of a type.
#[derive(Clone, Default)]
pub(crate) struct AttributeUses {
    pub(crate) uses: Vec<AttributeUse>,
    pub(crate) groups: Vec<Name>,
    /// Any other attribute may be there.
    pub(crate) any: bool,
}

#[derive(Clone)]
pub(crate) enum AttributeUse {
    Own { decl: Arc<AttributeDecl>, need: Need },
    Ref { name: Name, need: Need },
}

/// An attribute's declaration.
pub(crate) struct AttributeDecl {
    pub(crate) name: Name,
    pub(crate) of: TypeRef,
    pub(crate) fixed: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
    Prohibited,
}

/// What a reference to a type leads to.
pub(crate) enum Resolved {
    /// Anything (`xs:anyType`).
    Any,
    Values(Arc<Values>),
    Complex(Arc<Complex>),
}

impl Schemas {
    /// What a reference leads to.
    ///
    /// # Errors
    /// Names the type that is not there.
    pub(crate) fn resolve(&self, of: &TypeRef) -> Result<Resolved, String> {
        match of {
            TypeRef::Named(name) if &*name.space == XSD => match &*name.local {
                "anyType" => Ok(Resolved::Any),
                local => Builtin::named(local)
                    .map(|builtin| Resolved::Values(builtin.values()))
                    .ok_or_else(|| format!("XML Schema has no type xs:{local}")),
            },
            TypeRef::Named(name) => match self.types.get(name) {
                Some(known) => self.resolve_type(known),
                None => Err(missing("type", name)),
            },
            TypeRef::Inline(here) => self.resolve_type(here),
        }
    }

    fn resolve_type(&self, of: &Type) -> Result<Resolved, String> {
        match of {
            Type::Simple(simple) => self.values(simple).map(Resolved::Values),
            Type::Complex(complex) => Ok(Resolved::Complex(complex.clone())),
        }
    }

    /// The declaration of a global element.
    ///
    /// # Errors
    /// Names the element that is not there.
    pub(crate) fn element(&self, name: &Name) -> Result<&Arc<ElementDecl>, String> {
        self.elements.get(name).ok_or_else(|| missing("element", name))
    }

    /// The types that can stand where that one is declared: itself, and what is derived from it, in any number of
    /// steps. For `xs:anyType` it is every named type.
    pub(crate) fn substitutable(&self, declared: &Name) -> Vec<Name> {
        if declared.is(XSD, "anyType") {
            let mut all: Vec<Name> = self.types.keys().cloned().collect();
            all.sort();
            return all;
        }
        let mut found = vec![declared.clone()];
        let mut next = 0;
        while let Some(name) = found.get(next).cloned() {
            for derived in self.derived.get(&name).into_iter().flatten() {
                if !found.contains(derived) {
                    found.push(derived.clone());
                }
            }
            next += 1;
        }
        found
    }
}

/// What to tell of a reference that leads nowhere.
fn missing(what: &str, name: &Name) -> String {
    format!(
        "the {what} {name} is declared nowhere: the schema of its namespace is not among the documents; give it with \
         Wsdl::read_with"
    )
}

impl TypeRef {
    /// As people read it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Named(name) => name.local.to_string(),
            Self::Inline(_) => "a type of its own".into(),
        }
    }
}
