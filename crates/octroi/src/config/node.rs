//! The section of the Lightning node. Each backend declares its own settings; here they become keys of the config.

use super::{
    file::LightningKeys,
    place::{At, Place, Step},
    section::{FromNode, Key, Presence, Reader, Section, Shape, Table, Takes},
    tree::Node,
    value::{FilePath, SecretPlace, ServiceUrl, SettingText},
};
use l402_lightning::{Backend, Setting, SettingKind, Side};
use std::sync::LazyLock;

/// `lightning:` with the sections of the backends in it.
#[derive(Clone, Debug)]
pub(super) struct LightningSection {
    /// The keys that every node has.
    pub(super) own: LightningKeys,
    /// The sections of backends, as they were given.
    pub(super) nodes: Vec<NodeSection>,
}

/// The section of one backend.
#[derive(Clone, Debug)]
pub(super) struct NodeSection {
    pub(super) backend: &'static Backend,
    pub(super) values: Vec<(&'static Setting, At<NodeValue>)>,
    /// Whether every value in it could be read and no required one is missing.
    pub(super) complete: bool,
}

/// A value in a backend's section.
#[derive(Clone, Debug)]
pub(super) enum NodeValue {
    Url(ServiceUrl),
    Text(SettingText),
    File(FilePath),
    Secret(SecretPlace),
    Flag(bool),
}

/// The keys of one backend's section.
struct NodeTable {
    backend: &'static Backend,
    table: Table,
}

/// Tables live as long as the program; each is made once.
static NODES: LazyLock<Vec<NodeTable>> = LazyLock::new(|| {
    let sellers = l402_backends::ALL.iter().filter(|backend| backend.invoicer.is_some());
    sellers
        .map(|backend| {
            let keys: Vec<Key> = settings_of(backend).map(key_of).collect();
            NodeTable { backend, table: Table { doc: backend.about, keys: keys.leak() } }
        })
        .collect()
});

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let own = LightningKeys::table();
    let mut keys: Vec<Key> = own.keys.iter().map(|key| Key { ..*key }).collect();
    keys.extend(NODES.iter().map(|node| Key {
        name: node.backend.name,
        doc: node.backend.about,
        presence: Presence::Absent("needed by the backend of that name"),
        example: example_of(node.backend).leak(),
        takes: Takes::Section(&node.table),
    }));
    Table { doc: own.doc, keys: keys.leak() }
});

fn settings_of(backend: &'static Backend) -> impl Iterator<Item = &'static Setting> {
    backend.settings.iter().filter(|setting| setting.side != Side::Buyer)
}

/// A section with everything that has to be there.
pub(super) fn example_of(backend: &'static Backend) -> String {
    let required = settings_of(backend).filter(|setting| setting.absent.is_none());
    let lines: Vec<String> =
        required.map(|setting| format!("{}: \"{}\"", setting.name, setting.example)).collect();
    format!("{{ {} }}", lines.join(", "))
}

fn key_of(setting: &'static Setting) -> Key {
    Key {
        name: setting.name,
        doc: setting.doc,
        presence: setting.absent.map_or(Presence::Required, Presence::Absent),
        example: setting.example,
        takes: Takes::Value(match setting.kind {
            SettingKind::Url => ServiceUrl::shape,
            SettingKind::Text => SettingText::shape,
            SettingKind::File => FilePath::shape,
            SettingKind::Secret => SecretPlace::shape,
            SettingKind::Flag => bool::shape,
        }),
    }
}

impl FromNode for LightningSection {
    fn shape() -> Shape {
        Shape::Section(&TABLE)
    }

    fn from_node(node: &Node, reader: &mut Reader) -> Option<Self> {
        let entries = reader.section(node, &TABLE)?;
        let own = LightningKeys::read(node.at, &entries, reader)?;
        let given = NODES.iter().filter_map(|table| Some((table, entries.of(table.backend.name)?)));
        let read = given.filter_map(|(table, node)| {
            let step = Step::Key(table.backend.name.to_owned());
            reader.within(step, |reader| NodeSection::read(table, node, reader))
        });
        let nodes = read.collect();
        Some(Self { own, nodes })
    }
}

impl NodeSection {
    fn read(table: &'static NodeTable, node: &Node, reader: &mut Reader) -> Option<Self> {
        let entries = reader.section(node, &table.table)?;
        let mut section = Self { backend: table.backend, values: Vec::new(), complete: true };
        for setting in settings_of(table.backend) {
            let Some(node) = entries.of(setting.name) else {
                section.complete &= setting.absent.is_some();
                continue;
            };
            let step = Step::Key(setting.name.to_owned());
            match reader.within(step, |reader| NodeValue::read(setting.kind, node, reader)) {
                Some(value) => section.values.push((setting, At { value, at: node.at })),
                None => section.complete = false,
            }
        }
        Some(section)
    }
}

impl NodeValue {
    fn read(kind: SettingKind, node: &Node, reader: &mut Reader) -> Option<Self> {
        match kind {
            SettingKind::Url => ServiceUrl::from_node(node, reader).map(Self::Url),
            SettingKind::Text => SettingText::from_node(node, reader).map(Self::Text),
            SettingKind::File => FilePath::from_node(node, reader).map(Self::File),
            SettingKind::Secret => SecretPlace::from_node(node, reader).map(Self::Secret),
            SettingKind::Flag => bool::from_node(node, reader).map(Self::Flag),
        }
    }
}

impl LightningSection {
    /// Where the section begins.
    pub(super) fn at(&self) -> Place {
        self.own.at
    }

    /// The section of one backend.
    pub(super) fn of(&self, backend: &Backend) -> Option<&NodeSection> {
        self.nodes.iter().find(|node| node.backend.name == backend.name)
    }
}
