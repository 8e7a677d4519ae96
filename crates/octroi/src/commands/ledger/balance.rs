//! `octroi ledger balance`: what a token has.

use crate::date::{Date, Span};
use l402::TokenId;
use l402_paywall::ledger::{Account, AccountKey, Holding, Owner, Reservation};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What it has, for people.
pub(super) fn text(id: TokenId, holding: &Holding, now: u64) -> String {
    let Holding { account, .. } = holding;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line("token id", &id.to_string());
    if let Owner::Purchase { service, .. } = &account.owner {
        line("service", service.as_str());
    }
    line("state", if account.is_revoked { "revoked; what is left is owed to its buyer" } else { "in use" });
    for (name, units) in parts(account) {
        line(name, &units.to_string());
    }
    for (index, Reservation { handle, units, deadline }) in by_deadline(holding).into_iter().enumerate() {
        let ends = if *deadline > now {
            format!("ends by itself at {}, in {}", Date(*deadline), Span(deadline - now))
        } else {
            format!("should have ended at {}, {} ago", Date(*deadline), Span(now - deadline))
        };
        let name = if index == 0 { "unfinished" } else { "" };
        line(name, &format!("{}: {units} units, {ends}", hex::encode(handle.id.as_bytes())));
    }
    for (index, (key, cap)) in by_key(holding).into_iter().enumerate() {
        let parts: Vec<String> = parts(cap).iter().map(|(name, units)| format!("{name} {units}")).collect();
        let name = if index == 0 { "budgets" } else { "" };
        line(name, &format!("{}: {}", hex::encode(key.as_bytes()), parts.join(", ")));
    }
    text
}

/// What it has, for programs.
pub(super) fn json(id: TokenId, holding: &Holding) -> String {
    let mut report = account(&holding.account);
    report["token_id"] = id.to_string().into();
    report["revoked"] = holding.account.is_revoked.into();
    if let Owner::Purchase { service, .. } = &holding.account.owner {
        report["service"] = service.as_str().into();
    }
    let open = by_deadline(holding).into_iter().map(|reservation| {
        json!({
            "reservation": hex::encode(reservation.handle.id.as_bytes()),
            "units": reservation.units.get(),
            "deadline": reservation.deadline,
        })
    });
    report["unfinished"] = open.collect();
    let budgets = by_key(holding).into_iter().map(|(key, cap)| {
        let mut budget = account(cap);
        budget["account"] = hex::encode(key.as_bytes()).into();
        budget
    });
    report["budgets"] = budgets.collect();
    format!("{report}\n")
}

fn parts(account: &Account) -> [(&'static str, u64); 5] {
    [
        ("credited", account.credited.get()),
        ("debited", account.debited.get()),
        ("balance", account.balance.get()),
        ("reserved", account.reserved.get()),
        ("owed", account.owed.get()),
    ]
}

fn account(account: &Account) -> Value {
    parts(account).into_iter().map(|(name, units)| (name.to_owned(), Value::from(units))).collect()
}

fn by_deadline(holding: &Holding) -> Vec<&Reservation> {
    let mut open: Vec<&Reservation> = holding.open.iter().collect();
    open.sort_by_key(|reservation| (reservation.deadline, reservation.handle.id));
    open
}

fn by_key(holding: &Holding) -> Vec<(AccountKey, &Account)> {
    let mut caps: Vec<(AccountKey, &Account)> = holding.caps.iter().map(|(key, cap)| (*key, cap)).collect();
    caps.sort_by_key(|(key, _)| *key);
    caps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ledger::sample::{ID, NOW, sample, token};
    use l402_paywall::ledger::{Ledger as _, Operation};

    #[tokio::test]
    async fn a_balance_is_told_with_what_is_unfinished_and_delegated() {
        let ledger = sample();
        let holding = ledger.holding(token(ID)).await.expect("known").expect("booked");
        insta::assert_snapshot!("balance", text(token(ID), &holding, NOW));
        insta::assert_snapshot!("balance_json", json(token(ID), &holding));
        let late = text(token(ID), &holding, NOW + 7200);
        assert!(late.contains("should have ended at"), "{late}");
    }

    #[tokio::test]
    async fn a_revoked_token_is_said_to_be() {
        let ledger = sample();
        ledger.step(&Operation::Revoke(token(ID)), NOW).expect("revoked");
        let holding = ledger.holding(token(ID)).await.expect("known").expect("booked");
        assert!(text(token(ID), &holding, NOW).contains("revoked; what is left is owed"));
        assert!(json(token(ID), &holding).contains("\"revoked\":true"));
    }
}
