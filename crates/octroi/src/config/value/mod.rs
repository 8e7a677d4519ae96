//! The values of the config as people write them, each parsed into its type where it is read.

mod metered;
mod network;
mod quantity;
mod text;
mod word;

pub(super) use metered::{CostHeader, CostUnits, EventFloor, PackPrice, PackUnits, UnitWord};
pub(crate) use network::REMOVED_HEADERS;
pub use network::UpstreamUrl;
pub(super) use network::{Address, Network, Origin, PassedHeader};
pub(super) use quantity::{BodySize, Connections, HeadSize, Period, Seconds, Tier, UnitBytes};
pub(super) use text::{
    FilePath, Location, Pairs, RewritePrefix, SchemaName, SecretPlace, SecretSource, ServiceUrl, SettingText,
};
pub(super) use word::{Backend, BitcoinNetwork, LedgerKind, PathOddity};
pub use word::{HostHeader, UpstreamProtocol};
