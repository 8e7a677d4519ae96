//! The values of the config as people write them, each parsed into its type where it is read.

mod network;
mod quantity;
mod text;
mod word;

pub(crate) use network::REMOVED_HEADERS;
pub use network::UpstreamUrl;
pub(super) use network::{Address, Network, Origin, PassedHeader};
pub(super) use quantity::{Connections, HeadSize, Period, Seconds, Tier};
pub(super) use text::{
    FilePath, Location, Pairs, RewritePrefix, SecretPlace, SecretSource, ServiceUrl, SettingText,
};
pub(super) use word::{Backend, BitcoinNetwork, LedgerKind, PathOddity};
pub use word::{HostHeader, UpstreamProtocol};
