//! The keys, and who may do what with them.

use nostr::key::{Keys, SecretKey};

/// Who holds a connection URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    /// May be paid.
    Seller,
    /// May look and not be paid.
    SellerWithoutMakeInvoice,
    /// May pay.
    Buyer,
    /// May look and not pay.
    BuyerWithoutPayInvoice,
    /// Is another wallet's.
    Foreign,
}

impl Client {
    /// Each of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Seller,
        Self::SellerWithoutMakeInvoice,
        Self::Buyer,
        Self::BuyerWithoutPayInvoice,
        Self::Foreign,
    ];

    /// The key in the URI.
    pub(crate) fn keys(self) -> Keys {
        let place = Self::ALL.iter().position(|one| *one == self).expect("one of all");
        keys(0x21 + u8::try_from(place).expect("few"))
    }

    /// What it may do; `None` if the wallet does not know it.
    pub(crate) fn methods(self) -> Option<&'static [&'static str]> {
        match self {
            Self::Seller => Some(&["get_info", "make_invoice", "lookup_invoice", "list_transactions"]),
            Self::SellerWithoutMakeInvoice => Some(&["get_info", "lookup_invoice", "list_transactions"]),
            Self::Buyer => Some(&["get_info", "lookup_invoice", "pay_invoice"]),
            Self::BuyerWithoutPayInvoice => Some(&["get_info", "lookup_invoice"]),
            Self::Foreign => None,
        }
    }
}

/// The wallet's key.
pub(crate) fn wallet_keys() -> Keys {
    keys(0x11)
}

/// Somebody's key.
pub(crate) fn keys(seed: u8) -> Keys {
    Keys::new(SecretKey::from_slice(&[seed; 32]).expect("a key"))
}
