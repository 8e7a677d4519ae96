//! `octroi token revoke`: the end of a token, at once and for good.

use crate::{
    commands::{
        ConfigFile,
        beside::{self, LedgerFault},
        presented::{read, token_id},
        say,
    },
    edge::unix_secs,
};
use l402::TokenId;
use l402_paywall::ledger::{Effect, Holding, Ledger, Operation};
use std::{fmt::Write as _, process::ExitCode};

/// Runs the command. Exit 1 if it could not be done, 2 if the config cannot be read.
pub(super) fn run(token: &str, config: &ConfigFile) -> ExitCode {
    beside::run(config, async |_, stores| {
        let id = token_id(&read(token)?)?;
        say(&revoke(id, &*stores.ledger, unix_secs()).await?);
        Ok(())
    })
}

async fn revoke(id: TokenId, ledger: &dyn Ledger, now: u64) -> Result<String, LedgerFault> {
    let Effect::Withdrawn { is_new, .. } = ledger.apply(Operation::Revoke(id), now).await? else {
        return Err(LedgerFault::Misunderstood);
    };
    let mut text = if is_new {
        format!("token {id} is revoked; every gateway of this ledger refuses it within a second\n")
    } else {
        format!("token {id} was revoked before\n")
    };
    // Writing to a String cannot fail.
    let _ = match ledger.holding(id).await? {
        None => writeln!(text, "nothing was booked for it, so nothing is owed"),
        Some(Holding { account, open, .. }) if open.is_empty() => {
            writeln!(text, "owed to its buyer: {} of {} units", account.owed, account.credited)
        }
        Some(Holding { account, open, .. }) => writeln!(
            text,
            "owed to its buyer: {} of {} units, and what {} unfinished requests leave of {}",
            account.owed,
            account.credited,
            open.len(),
            account.reserved
        ),
    };
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ledger::sample::{ID, NOW, sample, token};

    #[tokio::test]
    async fn what_is_left_of_a_revoked_token_is_owed() {
        let ledger = sample();
        let text = revoke(token(ID), &ledger, NOW).await.expect("revoked");
        assert!(text.contains("is revoked; every gateway"), "{text}");
        assert!(
            text.ends_with(
                "owed to its buyer: 83 of 100 units, and what 1 unfinished requests leave of 10\n"
            ),
            "{text}"
        );
        let again = revoke(token(ID), &ledger, NOW).await.expect("nothing to do");
        assert!(again.contains("was revoked before") && again.contains("83 of 100"), "{again}");
        assert!(ledger.audit().breaches.is_empty());
    }

    #[tokio::test]
    async fn a_token_that_was_never_booked_is_revoked_too() {
        let ledger = sample();
        let text = revoke(token(0xee), &ledger, NOW).await.expect("revoked");
        assert!(text.contains("is revoked") && text.contains("nothing is owed"), "{text}");
        assert_eq!(ledger.revoked_since(0).await.expect("known").tokens, [token(0xee)]);
    }
}
