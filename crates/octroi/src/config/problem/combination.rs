//! What can be wrong between values that are sound by themselves.

use l402_lightning::Network;
use std::{fmt, net::SocketAddr};

/// Values that exclude or need each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Combination {
    /// The loopback node settles invoices without money.
    #[error(
        "{address} can be reached from other machines, and `lightning.backend: loopback` settles invoices without money; \
         listen on 127.0.0.1 or [::1]"
    )]
    PublicWithLoopback {
        /// The address.
        address: SocketAddr,
    },
    /// The loopback node is on regtest, whatever one may wish.
    #[error("is {other}, and `lightning.backend: loopback` issues regtest invoices only; leave it out")]
    LoopbackNetwork {
        /// What was asked for.
        other: Network,
    },
    /// Two listeners on one address.
    #[error("{address} is taken by `{other}` already; give each its own port")]
    AddressTwice {
        /// The address.
        address: SocketAddr,
        /// The key that has it.
        other: String,
    },
    /// Both kinds of keys, or none.
    #[error("give either `file` or `secret`, and only one of them")]
    OneKeySource,
    /// TLS settings for an upstream without TLS.
    #[error("has no meaning for an upstream without TLS; use an `https://` upstream or leave it out")]
    NotTls,
    /// Verification by a CA, and none at all.
    #[error("says that nothing is verified, while `upstream_ca` says by what; leave one of them out")]
    CaAndInsecure,
    /// Packs without what one of them costs.
    #[error("nothing says what a pack costs; give the service a `price`")]
    MeterWithoutPrice,
    /// Packs beside none.
    #[error("need a `price` and a `pack` of the route's own, of which they are further choices")]
    PacksWithoutPack,
    /// No place for a cost, or several.
    #[error("say with exactly one of `header`, `json`, `sse`, `bytes` and `time` where the cost is found")]
    OneCostSource,
    /// A key of another kind of cost.
    #[error("has no meaning with `{kind}`, only with {}; leave it out", Keys(kinds))]
    CostKeyElsewhere {
        /// The kind of cost.
        kind: &'static str,
        /// Those that it belongs to.
        kinds: &'static [&'static str],
    },
    /// A database server without its place.
    #[error("a database has to be named: `ledger: {{ postgres: {{ url: \"${{DATABASE_URL}}\" }} }}`")]
    PostgresWithoutUrl,
    /// The secret is no URL of a database. It may hold a password, so it is not repeated.
    #[error("what stands there is not a URL that begins with `postgres://` or `postgresql://`")]
    NotPostgres,
    /// A rewrite of paths that have no prefix.
    #[error("needs a path that ends in `/`: only a prefix can be rewritten")]
    RewriteWithoutPrefix,
}

struct Keys<'a>(&'a [&'static str]);

impl fmt::Display for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<String> = self.0.iter().map(|key| format!("`{key}`")).collect();
        f.write_str(&keys.join(", "))
    }
}
