//! Mistakes that are planted to see whether they are found.

/// One mistake, of a store or of what drives a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slip {
    /// The store says yes before a step would survive a loss of power.
    AcknowledgesTooSoon,
    /// The store says yes to steps that it did not write.
    AcknowledgesFailures,
    /// The store credits a pack again when it is used up, and its journal agrees.
    CreditsTwice,
    /// The store charges a settlement again that it is asked for again, and its journal agrees.
    ChargesTwice,
    /// The store writes the accounts of a step, and not its reservation.
    WritesHalf,
    /// The store does not look at delegated budgets.
    IgnoresBudgets,
    /// The store forgets who was revoked.
    ForgetsRevocations,
    /// The store forgets who claimed what.
    ForgetsClaims,
    /// The store forgets answers whose time will be over one day.
    ForgetsTheFuture,
    /// The store does not do what the rule for abandoned reservations says.
    IgnoresTheRule,
    /// The store tells more than there is.
    TellsTooMuch,
    /// The gateway forwards when it cannot find out whether units were set aside.
    ForwardsOnHope,
    /// The gateway hands everything out, and then settles.
    ServesBeforeSettling,
    /// The gateway takes silence for a yes.
    TrustsSilence,
    /// The gateway hands out the last bytes although the reservation ended otherwise before.
    ServesWhatHasExpired,
    /// The gateway charges for what never came.
    ChargesFailures,
    /// The gateway hands a stream on while more is being set aside for it.
    StreamsAhead,
    /// The gateway says the answer of one request in reply to another.
    MixesUpClaims,
    /// The gateway starts with other keys, so that what was bought is worth nothing.
    LosesItsKeys,
}

impl Slip {
    pub(crate) const ALL: [Self; 19] = [
        Self::AcknowledgesTooSoon,
        Self::AcknowledgesFailures,
        Self::CreditsTwice,
        Self::ChargesTwice,
        Self::WritesHalf,
        Self::IgnoresBudgets,
        Self::ForgetsRevocations,
        Self::ForgetsClaims,
        Self::ForgetsTheFuture,
        Self::IgnoresTheRule,
        Self::TellsTooMuch,
        Self::ForwardsOnHope,
        Self::ServesBeforeSettling,
        Self::TrustsSilence,
        Self::ServesWhatHasExpired,
        Self::ChargesFailures,
        Self::StreamsAhead,
        Self::MixesUpClaims,
        Self::LosesItsKeys,
    ];
}
