//! From a credential that says something to a token that is known to be ours and paid for.

use crate::{Credential, Identifier, PaymentHash, RootKey, Scheme, TokenId};
use l402_macaroon::{Macaroon, MacaroonRef};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// Where root keys come from.
///
/// A wrong key is only a refused token. A key that others can compute lets them mint tokens.
pub trait RootKeys {
    /// The key that a token with this identifier was minted with; `None` if its epoch is not known (any more).
    fn root_key(&self, id: &Identifier) -> Option<RootKey>;
}

/// Evidence that a token was minted with a key of ours and its invoice was paid. Only [`verify`] makes it.
///
/// Its caveats have not been judged: that is [`clear`](crate::clear).
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    macaroon: Macaroon,
    identifier: Identifier,
    scheme: Scheme,
    /// By index, for the caveats that delegate a budget.
    budgets: Vec<(usize, [u8; 32])>,
}

/// Why a well-formed credential proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The preimage is not that of the token's payment hash.
    #[error("the preimage does not belong to the token")]
    Preimage,
    /// The signature does not hold: another issuer, a retired key or a forgery, which look the same.
    #[error("the token's signature does not hold")]
    Signature,
    /// The token has a third-party caveat, which can never be met.
    #[error("the token has a third-party caveat, which is not supported")]
    ThirdParty,
}

/// Checks the preimage against the token's payment hash, then the chain of signatures with the token's root key.
/// Comparisons take constant time. Nothing is allocated here, unless the token delegates a budget.
pub fn verify(credential: Credential, keys: &impl RootKeys) -> Result<VerifiedToken, VerifyError> {
    let Credential { macaroon, identifier, preimage, scheme } = credential;
    let hash = preimage.payment_hash();
    if !bool::from(hash.as_bytes().ct_eq(identifier.payment_hash.as_bytes())) {
        return Err(VerifyError::Preimage);
    }
    let key = keys.root_key(&identifier).ok_or(VerifyError::Signature)?;
    macaroon.view().verify(&key).map_err(|error| match error {
        l402_macaroon::VerifyError::Signature => VerifyError::Signature,
        l402_macaroon::VerifyError::ThirdParty => VerifyError::ThirdParty,
    })?;
    let budgets = budgets(&macaroon.view(), &key);
    Ok(VerifiedToken { macaroon, identifier, scheme, budgets })
}

/// Where a holder appended `<service>_units=<n>`: a name for the budget that is the same for all copies which share the
/// caveat and everything before it. It is a digest, because the running signature itself is a usable token.
fn budgets(token: &MacaroonRef<'_>, key: &RootKey) -> Vec<(usize, [u8; 32])> {
    let is_units = |text: &[u8]| {
        let condition = text.split(|&byte| byte == b'=').next();
        condition.is_some_and(|condition| condition.ends_with(b"_units"))
    };
    let appended = || token.caveats().enumerate().skip(1).filter(|(_, caveat)| is_units(caveat.identifier));
    if appended().next().is_none() {
        return Vec::new();
    }
    let signatures: Vec<_> = token.running_signatures(key).collect();
    let digest = |index: usize| {
        let digest = Sha256::new().chain_update(b"l402/budget/v1").chain_update(signatures.get(index)?);
        Some((index, digest.finalize().into()))
    };
    appended().filter_map(|(index, _)| digest(index)).collect()
}

impl VerifiedToken {
    /// The token itself.
    pub fn macaroon(&self) -> MacaroonRef<'_> {
        self.macaroon.view()
    }

    /// The token's public name.
    pub fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// The token's name for limits, ledgers and revocation.
    pub fn token_id(&self) -> TokenId {
        self.identifier.token_id
    }

    /// The invoice whose payment made the token good.
    pub fn payment_hash(&self) -> PaymentHash {
        self.identifier.payment_hash
    }

    /// The name of the budget that the caveat at this index delegates, if it does.
    pub(crate) fn budget_at(&self, index: usize) -> Option<[u8; 32]> {
        self.budgets.iter().find(|(at, _)| *at == index).map(|(_, key)| *key)
    }

    /// How the credential was presented.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }
}
