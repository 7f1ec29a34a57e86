//! What may be in an element of a type: references followed, bases merged, names in JSON chosen.

use std::{collections::HashMap, sync::Arc};

use super::{
    AttributeDecl, AttributeUse, AttributeUses, CHAIN_MAX, Complex, Content, Derivation, ElementDecl, Need,
    Particle, Schemas, Term, Type, TypeRef, UNBOUNDED, Values,
};
use crate::soap::xml::{Name, XML};

/// Most parts of one type, after all groups were put in place: groups within groups can double at every level.
const PARTS_MAX: usize = 10_000;

/// What may be in an element.
pub(crate) struct Shape {
    pub(crate) attributes: Vec<Attribute>,
    /// Other attributes may be there too.
    pub(crate) any_attribute: bool,
    pub(crate) content: ShapeContent,
}

pub(crate) enum ShapeContent {
    Empty,
    Text(Arc<Values>),
    Elements(Elements),
}

/// Children.
pub(crate) struct Elements {
    /// In the schema's order; places index `fields`.
    pub(crate) order: Part,
    /// Each name once.
    pub(crate) fields: Vec<Field>,
    by_name: HashMap<Name, usize>,
    by_key: HashMap<String, usize>,
    pub(crate) mixed: bool,
    pub(crate) any: bool,
}

/// A name that children can have.
pub(crate) struct Field {
    /// What it is called in JSON: its local name, or `{namespace}local` where that would be ambiguous.
    pub(crate) key: String,
    pub(crate) decl: Arc<ElementDecl>,
    /// It can be there several times: an array in JSON.
    pub(crate) many: bool,
}

/// An attribute that may be there.
pub(crate) struct Attribute {
    /// What it is called in JSON: `@` and its local name.
    pub(crate) key: String,
    pub(crate) decl: Arc<AttributeDecl>,
    pub(crate) required: bool,
}

/// A particle with its references followed.
pub(crate) struct Part {
    pub(crate) min: u32,
    pub(crate) max: u32,
    pub(crate) what: What,
}

pub(crate) enum What {
    Field(usize),
    Sequence(Vec<Part>),
    Choice(Vec<Part>),
    Any,
}

impl Elements {
    pub(crate) fn by_key(&self, key: &str) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// The field of an element with that name. Remotes often leave the namespace out, or add one: a local name that only
    /// one field has will do.
    pub(crate) fn by_name(&self, name: &Name) -> Option<usize> {
        self.by_name.get(name).copied().or_else(|| self.by_key(&name.local))
    }
}

impl Schemas {
    /// What may be in an element of that type.
    ///
    /// # Errors
    /// Says what about the type is not understood.
    pub(crate) fn shape(&self, complex: &Complex) -> Result<Arc<Shape>, String> {
        complex
            .shape
            .get_or_init(|| {
                let flattened = self.flatten(complex);
                let named = complex.name.as_ref().map_or("a type of its own", |name| &name.local);
                flattened.map(Arc::new).map_err(|what| format!("{named}: {what}"))
            })
            .clone()
    }

    fn flatten(&self, complex: &Complex) -> Result<Shape, String> {
        let mut merged = Merged::default();
        self.merge(complex, 0, &mut merged)?;
        let content =
            match &complex.content {
                Content::Text { .. } => ShapeContent::Text(self.values_of_complex(complex, 0)?),
                Content::Elements(_) | Content::Unsupported(_) if merged.particles.is_empty() => {
                    if merged.mixed { self.elements(vec![], true)? } else { ShapeContent::Empty }
                }
                Content::Elements(_) | Content::Unsupported(_) => {
                    self.elements(merged.particles, merged.mixed)?
                }
            };
        Ok(Shape { attributes: merged.attributes, any_attribute: merged.any_attribute, content })
    }

    /// Adds what a type's bases have, then what it has itself.
    fn merge(&self, complex: &Complex, depth: usize, into: &mut Merged) -> Result<(), String> {
        if depth == CHAIN_MAX {
            return Err(format!(
                "more than {CHAIN_MAX} types are each based on the next: is one its own base?"
            ));
        }
        if let Some(base) = &complex.base {
            match self.types.get(&base.name) {
                Some(Type::Complex(base)) => self.merge(base, depth + 1, into)?,
                // Its text is the concern of the values.
                Some(Type::Simple(_)) => {}
                None => {
                    self.resolve(&TypeRef::Named(base.name.clone()))?;
                }
            }
            if base.how == Derivation::Restriction {
                into.particles.clear();
            }
        }
        match &complex.content {
            Content::Elements(particle) => into.particles.extend(particle.clone()),
            Content::Text { .. } => {}
            Content::Unsupported(what) => return Err(what.clone()),
        }
        into.mixed |= complex.mixed;
        self.merge_attributes(&complex.uses, depth, into)
    }

    fn merge_attributes(&self, uses: &AttributeUses, depth: usize, into: &mut Merged) -> Result<(), String> {
        if depth == CHAIN_MAX {
            return Err(format!("more than {CHAIN_MAX} attribute groups are within each other"));
        }
        into.any_attribute |= uses.any;
        for group in &uses.groups {
            let group =
                self.attribute_groups.get(group).ok_or_else(|| super::missing("attributeGroup", group))?;
            self.merge_attributes(group, depth + 1, into)?;
        }
        for attribute in &uses.uses {
            let (decl, need) = match attribute {
                AttributeUse::Own { decl, need } => (decl.clone(), *need),
                AttributeUse::Ref { name, need } => (self.attribute(name)?, *need),
            };
            into.attributes.retain(|known| known.decl.name != decl.name);
            if need != Need::Prohibited {
                let space = if &*decl.name.space == XML { "xml:" } else { "" };
                let key = format!("@{space}{}", decl.name.local);
                into.attributes.push(Attribute { key, decl, required: need == Need::Required });
            }
            if into.attributes.len() > PARTS_MAX {
                return Err(format!("more than {PARTS_MAX} attributes"));
            }
        }
        Ok(())
    }

    fn attribute(&self, name: &Name) -> Result<Arc<AttributeDecl>, String> {
        if let Some(known) = self.attributes.get(name) {
            return Ok(known.clone());
        }
        // xml:lang, xml:space, xml:base and xml:id are declared by a schema that few WSDLs bring.
        if &*name.space == XML {
            let of = TypeRef::Named(Name::new(super::XSD, "token"));
            return Ok(Arc::new(AttributeDecl { name: name.clone(), of, fixed: None }));
        }
        Err(super::missing("attribute", name))
    }

    fn elements(&self, particles: Vec<Particle>, mixed: bool) -> Result<ShapeContent, String> {
        let mut flattening =
            Flattening { schemas: self, decls: vec![], places: HashMap::new(), any: false, parts: 0 };
        let whole = Particle { min: 1, max: 1, term: Term::Sequence(particles) };
        let order = flattening.part(&whole, 0)?;
        let Flattening { decls, any, .. } = flattening;
        let mut of_local: HashMap<&str, usize> = HashMap::new();
        for decl in &decls {
            *of_local.entry(&decl.name.local).or_default() += 1;
        }
        let key = |decl: &ElementDecl| match of_local[&*decl.name.local] {
            1 => decl.name.local.to_string(),
            _ => decl.name.to_string(),
        };
        let keys: Vec<String> = decls.iter().map(|decl| key(decl)).collect();
        let mut times = vec![0; decls.len()];
        count(&order, &mut times);
        let fields: Vec<Field> = keys
            .into_iter()
            .zip(decls)
            .zip(times)
            .map(|((key, decl), times)| Field { key, decl, many: times > 1 })
            .collect();
        let by_name = fields.iter().enumerate().map(|(at, field)| (field.decl.name.clone(), at)).collect();
        let by_key = fields.iter().enumerate().map(|(at, field)| (field.key.clone(), at)).collect();
        Ok(ShapeContent::Elements(Elements { order, fields, by_name, by_key, mixed, any }))
    }
}

/// What was found on the way from the first base to the type itself.
#[derive(Default)]
struct Merged {
    particles: Vec<Particle>,
    attributes: Vec<Attribute>,
    any_attribute: bool,
    mixed: bool,
}

struct Flattening<'a> {
    schemas: &'a Schemas,
    decls: Vec<Arc<ElementDecl>>,
    places: HashMap<Name, usize>,
    any: bool,
    parts: usize,
}

impl Flattening<'_> {
    fn part(&mut self, particle: &Particle, depth: usize) -> Result<Part, String> {
        self.parts += 1;
        if self.parts > PARTS_MAX || depth > CHAIN_MAX {
            return Err(format!("groups within groups: more than {PARTS_MAX} parts, or {CHAIN_MAX} levels"));
        }
        let (min, max) = (particle.min, particle.max);
        let what = match &particle.term {
            Term::Element(decl) => What::Field(self.place(decl)),
            Term::ElementRef(name) => self.referred(name)?,
            // The parts of an xs:all come in any order; the schema's will do.
            Term::Sequence(parts) | Term::All(parts) => What::Sequence(self.parts(parts, depth)?),
            Term::Choice(parts) => What::Choice(self.parts(parts, depth)?),
            Term::Group(name) => {
                let group = self.schemas.groups.get(name).ok_or_else(|| super::missing("group", name))?;
                // The group's own particle occurs once, wherever it is put.
                What::Sequence(vec![self.part(&group.clone(), depth + 1)?])
            }
            Term::Any => {
                self.any = true;
                What::Any
            }
        };
        Ok(Part { min, max, what })
    }

    fn parts(&mut self, particles: &[Particle], depth: usize) -> Result<Vec<Part>, String> {
        let possible = particles.iter().filter(|particle| particle.max > 0);
        possible.map(|particle| self.part(particle, depth + 1)).collect()
    }

    /// A global element, or any of those that may stand for it.
    fn referred(&mut self, name: &Name) -> Result<What, String> {
        let mut names = vec![name.clone()];
        let mut next = 0;
        while let Some(head) = names.get(next).cloned() {
            for member in self.schemas.substitutes.get(&head).into_iter().flatten() {
                if !names.contains(member) {
                    names.push(member.clone());
                }
            }
            next += 1;
        }
        let mut parts = vec![];
        for name in &names {
            let decl = self.schemas.element(name)?.clone();
            if !decl.is_abstract || names.len() == 1 {
                parts.push(Part { min: 1, max: 1, what: What::Field(self.place(&decl)) });
            }
        }
        self.parts += parts.len();
        match parts.len() {
            1 => Ok(parts.remove(0).what),
            _ => Ok(What::Choice(parts)),
        }
    }

    fn place(&mut self, decl: &Arc<ElementDecl>) -> usize {
        *self.places.entry(decl.name.clone()).or_insert_with(|| {
            self.decls.push(decl.clone());
            self.decls.len() - 1
        })
    }
}

/// How often each field can be there at most.
fn count(part: &Part, times: &mut [u64]) {
    let mut within = vec![0; times.len()];
    match &part.what {
        What::Field(field) => within[*field] = 1,
        What::Sequence(parts) => parts.iter().for_each(|part| count(part, &mut within)),
        What::Choice(parts) => {
            for part in parts {
                let mut one = vec![0; times.len()];
                count(part, &mut one);
                within.iter_mut().zip(one).for_each(|(most, one)| *most = one.max(*most));
            }
        }
        What::Any => {}
    }
    let repeated = if part.max == UNBOUNDED { u64::from(UNBOUNDED) } else { u64::from(part.max) };
    times.iter_mut().zip(within).for_each(|(all, one)| {
        *all = all.saturating_add(one.saturating_mul(repeated));
    });
}
