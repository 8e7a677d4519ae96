//! How a section of the config is declared, and how a tree becomes one.
//!
//! [`section!`] declares every key once: its name, type, default, example and description. The decoder, the JSON
//! Schema and the reference page all read that one declaration, so none of them can know a key that another does not.

use super::{
    place::{At, Field, Place, Step},
    problem::{Fault, Found, Problem, resembling},
    tree::{Entry, Node, Scalar, ScalarKind, Value},
};

/// One key of a section, as the schema and the reference show it.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// What it does: one or more lines of text.
    pub(super) doc: &'static str,
    pub(super) presence: Presence,
    /// A value it could have, as it stands in a file.
    pub(super) example: &'static str,
    pub(super) takes: Takes,
}

impl Key {
    /// What it takes.
    pub(super) fn shape(&self) -> Shape {
        match self.takes {
            Takes::Value(shape) => shape(),
            Takes::Section(table) => Shape::Section(table),
        }
    }
}

/// Where the shape of a key's value is declared.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    /// By a type.
    Value(fn() -> Shape),
    /// By a table that no type stands for.
    Section(&'static Table),
}

/// What the absence of a key means.
#[derive(Clone, Copy)]
pub(super) enum Presence {
    Required,
    /// As if this value stood there.
    Default(&'static str),
    /// As if the section stood there without a key.
    Defaults,
    /// In words.
    Absent(&'static str),
}

/// What a key takes.
pub(super) enum Shape {
    Scalar(Form),
    List(Box<Shape>),
    /// Any of these.
    Either(Vec<Shape>),
    /// Keys of the seller's own with text values.
    Pairs,
    Section(&'static Table),
}

/// A section's description and keys.
pub(super) struct Table {
    pub(super) doc: &'static str,
    pub(super) keys: &'static [Key],
}

/// What a scalar looks like.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Flag,
    /// A whole number without a unit.
    Count {
        least: u64,
        most: u64,
    },
    /// Text of one kind; `pattern` is a regular expression that every valid text matches.
    Text {
        what: &'static str,
        pattern: &'static str,
        /// What a bare number could mean, if a unit is what it lacks.
        units: &'static [&'static str],
    },
    Words(fn() -> Vec<&'static str>),
}

/// A value that can be decoded from a node of the tree.
pub(super) trait FromNode: Sized {
    /// What it takes, for people, for the schema and for error messages.
    fn shape() -> Shape;

    /// Decodes the node. `None` means that every problem of it has been reported.
    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self>;
}

/// A section, as [`section!`] declares it.
pub(super) trait Section: FromNode {
    /// Its keys, in the order of its fields.
    fn table() -> &'static Table;

    /// Reads its fields, after unknown and missing keys have been reported.
    fn read(at: Place, entries: &Entries<'_>, reader: &mut Reader) -> Option<Self>;

    /// Where a key stands, or where the section begins if the key is not there.
    fn place_of(&self, key: &str) -> Place;
}

/// A value written as one scalar.
pub(super) trait FromScalar: Sized {
    const FORM: Form;
    /// Whether `${NAME}` may stand here.
    const SECRET: bool = false;

    /// Reads the text of the scalar, whose kind fits the form already.
    fn parse(text: &str) -> Result<Self, Fault>;

    /// The fault of a text that has another form.
    fn malformed(text: &str) -> Fault {
        Fault::Malformed { text: text.to_owned(), expected: Self::FORM.expected() }
    }
}

/// The state of one decoding: where it is and what it found.
#[derive(Default)]
pub(super) struct Reader {
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn report(&mut self, at: Place, fault: Fault) {
        self.problems.push(Problem::new(at, &self.path, fault));
    }

    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    /// Decodes one step further down.
    pub(super) fn within<T>(&mut self, step: Step, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let value = read(self);
        self.path.pop();
        value
    }

    /// The entries of a section. Unknown and missing keys are reported here.
    pub(super) fn section<'n>(&mut self, node: &'n Node, table: &'static Table) -> Option<Entries<'n>> {
        let Value::Mapping(entries) = &node.value else {
            self.mismatch(node, "a section (`key: value` lines)");
            return None;
        };
        let known = || table.keys.iter().map(|key| key.name);
        let mut misspelt = Vec::new();
        for entry in entries {
            if !known().any(|name| name == entry.key) {
                let suggestion = resembling(&entry.key, known());
                misspelt.extend(suggestion.map(|meant| (meant, entry.key_at)));
                let fault =
                    Fault::UnknownKey { key: entry.key.clone(), suggestion, known: known().collect() };
                self.report(entry.key_at, fault);
            }
        }
        let found = Entries { given: entries, misspelt, at: node.at };
        for key in table.keys {
            let missing = found.of(key.name).is_none() && found.misspelling_of(key.name).is_none();
            if missing && matches!(key.presence, Presence::Required) {
                self.report(node.at, Fault::MissingKey { key: key.name, example: key.example });
            }
        }
        Some(found)
    }

    /// Reports a node of a kind that is not taken here.
    pub(super) fn mismatch(&mut self, node: &Node, expected: impl Into<String>) {
        let expected = expected.into();
        let fault = match &node.value {
            Value::Refused => return,
            Value::Sequence(_) => Fault::WrongType { expected, found: Found::List },
            Value::Mapping(_) => Fault::WrongType { expected, found: Found::Section },
            Value::Scalar(scalar) => match scalar.kind() {
                ScalarKind::Nothing => Fault::NoValue { expected },
                ScalarKind::Number => Fault::WrongType { expected, found: Found::Number },
                ScalarKind::Flag(_) => Fault::WrongType { expected, found: Found::Flag },
                ScalarKind::Text => Fault::WrongType { expected, found: Found::Text },
            },
        };
        self.report(node.at, fault);
    }
}

/// What a section holds.
pub(super) struct Entries<'n> {
    given: &'n [Entry],
    /// Known keys that an unknown one was probably meant to be, and where that stands.
    misspelt: Vec<(&'static str, Place)>,
    at: Place,
}

impl<'n> Entries<'n> {
    pub(super) fn of(&self, key: &str) -> Option<&'n Node> {
        self.given.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    fn misspelling_of(&self, key: &str) -> Option<Place> {
        self.misspelt.iter().find(|(meant, _)| *meant == key).map(|(_, at)| *at)
    }
}

/// Declares a section: `key: Type = presence, example "…";` under the description that people read.
macro_rules! section {
    ($(#[doc = $about:literal])+ $name:ident {
        $($(#[doc = $doc:literal])+ $key:ident: $type:ty = $presence:expr, $example:literal;)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug)]
        pub(super) struct $name {
            /// Where the section begins.
            pub(super) at: $crate::config::place::Place,
            $($(#[doc = $doc])+ pub(super) $key: $crate::config::place::Field<$type>,)+
        }

        impl $crate::config::section::Section for $name {
            fn table() -> &'static $crate::config::section::Table {
                static TABLE: $crate::config::section::Table = $crate::config::section::Table {
                    doc: concat!($($about, "\n"),+),
                    keys: &[$($crate::config::section::Key {
                        name: stringify!($key),
                        doc: concat!($($doc, "\n"),+),
                        presence: $presence,
                        example: $example,
                        takes: $crate::config::section::Takes::Value(
                            <$type as $crate::config::section::FromNode>::shape,
                        ),
                    }),+],
                };
                &TABLE
            }

            fn read(
                at: $crate::config::place::Place,
                entries: &$crate::config::section::Entries<'_>,
                reader: &mut $crate::config::section::Reader,
            ) -> Option<Self> {
                let mut keys = Self::table().keys.iter();
                Some(Self {
                    at,
                    // Fields are initialised in the order of their declaration, which is the order of the table.
                    $($key: $crate::config::section::field(keys.next()?, entries, reader),)+
                })
            }

            fn place_of(&self, key: &str) -> $crate::config::place::Place {
                let place = match key {
                    $(stringify!($key) => self.$key.place(),)+
                    _ => None,
                };
                place.unwrap_or(self.at)
            }
        }

        impl $crate::config::section::FromNode for $name {
            fn shape() -> $crate::config::section::Shape {
                $crate::config::section::Shape::Section(<Self as $crate::config::section::Section>::table())
            }

            fn from_node(
                node: &$crate::config::tree::Node,
                reader: &mut $crate::config::section::Reader,
            ) -> Option<Self> {
                use $crate::config::section::Section as _;
                let entries = reader.section(node, Self::table())?;
                Self::read(node.at, &entries, reader)
            }
        }
    };
}
pub(super) use section;

/// Decodes one key of a section, or the default that it is declared with. A misspelt key counts as there: that it is
/// missing would be no second problem.
pub(super) fn field<T: FromNode>(key: &Key, entries: &Entries<'_>, reader: &mut Reader) -> Field<T> {
    let default = |value| Node { value, at: entries.at };
    let absent;
    let node = match (entries.of(key.name), entries.misspelling_of(key.name), key.presence) {
        (Some(node), ..) => node,
        (None, Some(at), _) => return Field::Faulty(at),
        (None, None, Presence::Required | Presence::Absent(_)) => return Field::Absent,
        (None, None, Presence::Default(text)) => {
            absent = default(Value::Scalar(Scalar { text: text.to_owned(), plain: true }));
            &absent
        }
        (None, None, Presence::Defaults) => {
            absent = default(Value::Mapping(Vec::new()));
            &absent
        }
    };
    let at = node.at;
    match reader.within(Step::Key(key.name.to_owned()), |reader| T::from_node(node, reader)) {
        Some(value) => Field::Given(At { value, at }),
        None => Field::Faulty(at),
    }
}

impl<T: FromScalar> FromNode for T {
    fn shape() -> Shape {
        Shape::Scalar(T::FORM)
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Value::Scalar(scalar) = &node.value else {
            reader.mismatch(node, T::FORM.expected());
            return None;
        };
        let text = scalar.text.as_str();
        let read = match (T::FORM, scalar.kind()) {
            (Form::Flag, ScalarKind::Flag(flag)) => T::parse(if flag { "true" } else { "false" }),
            (Form::Text { units: units @ [_, ..], .. }, ScalarKind::Number) if is_whole(text) => {
                Err(Fault::BareNumber { number: text.to_owned(), units })
            }
            (Form::Text { units: [], .. }, ScalarKind::Number) if T::parse(text).is_ok() => {
                Err(Fault::NeedsQuotes { text: text.to_owned(), found: Found::Number })
            }
            (Form::Text { .. }, ScalarKind::Flag(_)) if T::parse(text).is_ok() => {
                Err(Fault::NeedsQuotes { text: text.to_owned(), found: Found::Flag })
            }
            (Form::Text { .. }, ScalarKind::Text) if text.contains("${") && !T::SECRET => {
                Err(Fault::NotASecret)
            }
            (Form::Text { .. }, ScalarKind::Text)
            | (Form::Text { units: [_, ..], .. } | Form::Count { .. }, ScalarKind::Number)
            | (Form::Words(_), ScalarKind::Text | ScalarKind::Number | ScalarKind::Flag(_)) => T::parse(text),
            _ => {
                reader.mismatch(node, T::FORM.expected());
                return None;
            }
        };
        read.map_err(|fault| reader.report(node.at, fault)).ok()
    }
}

fn is_whole(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_digit())
}

impl Form {
    /// What it takes, in a few words.
    pub(super) fn expected(self) -> String {
        match self {
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Count { least, most } => format!("a whole number from {least} to {most}"),
            Self::Text { what, .. } => what.to_owned(),
            Self::Words(words) => format!("one of: {}", words().join(", ")),
        }
    }
}

impl Shape {
    /// What it takes, in a few words.
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Scalar(form) => form.expected(),
            Self::List(item) => format!("a list, each item {}", item.expected()),
            Self::Either(shapes) => shapes.iter().map(Self::expected).collect::<Vec<_>>().join(", or "),
            Self::Pairs => "names with text values".to_owned(),
            Self::Section(_) => "a section (`key: value` lines)".to_owned(),
        }
    }
}

/// A list with at least one item. Items with problems are left out, so that the rest can still be looked at.
#[derive(Clone, Debug)]
pub(super) struct List<T> {
    pub(super) items: Vec<Item<T>>,
    /// Whether no item was left out.
    pub(super) complete: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Item<T> {
    /// Its place in the list, counted from 0.
    pub(super) index: usize,
    pub(super) value: T,
}

impl<T: FromNode> FromNode for List<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        let Value::Sequence(nodes) = &node.value else {
            reader.mismatch(node, Self::shape().expected());
            return None;
        };
        if nodes.is_empty() {
            reader.report(node.at, Fault::EmptyList);
            return None;
        }
        let mut items = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let value = reader.within(Step::Index(index), |reader| T::from_node(node, reader));
            items.extend(value.map(|value| Item { index, value }));
        }
        let complete = items.len() == nodes.len();
        Some(Self { items, complete })
    }
}

/// A list whose brackets may be left out when it has one item.
#[derive(Clone, Debug)]
pub(super) struct OneOrMany<T>(pub(super) List<T>);

impl<T: FromNode> FromNode for OneOrMany<T> {
    fn shape() -> Shape {
        Shape::Either(vec![T::shape(), List::<T>::shape()])
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        if matches!(node.value, Value::Sequence(_)) {
            return List::from_node(node, reader).map(Self);
        }
        let value = T::from_node(node, reader)?;
        Some(Self(List { items: vec![Item { index: 0, value }], complete: true }))
    }
}
