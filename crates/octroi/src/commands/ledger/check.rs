//! `octroi ledger check`: whether every unit is where it belongs.

use super::LedgerFault;
use l402_paywall::{
    SettlementTotals,
    ledger::{Audit, Breach},
};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// What was found, for people.
pub(super) fn text(audit: &Audit, settled: &SettlementTotals) -> String {
    let totals = &audit.totals;
    let lines: [(&str, u128); 8] = [
        ("purchases", audit.purchases.into()),
        ("budgets", audit.caps.into()),
        ("unfinished", audit.open.into()),
        ("credited", totals.credited),
        ("debited", totals.debited),
        ("balance", totals.balance),
        ("reserved", totals.reserved),
        ("owed", totals.owed),
    ];
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (name, count) in lines {
        let _ = writeln!(text, "{name:<14}{count}");
    }
    if settled.overpaid > 0 {
        let invoices = if settled.overpaid == 1 { "invoice" } else { "invoices" };
        let (excess, count) = (settled.excess.as_msat(), settled.overpaid);
        let _ = writeln!(text, "{:<14}{excess} msat in {count} {invoices}", "overpaid");
    }
    for breach in &audit.breaches {
        let _ = writeln!(text, "✗ {breach}");
    }
    if audit.breaches.is_empty() {
        text.push_str("✓ every unit is where it belongs\n");
    }
    text
}

/// What was found, for programs.
pub(super) fn json(audit: &Audit, settled: &SettlementTotals) -> String {
    let totals = &audit.totals;
    let report = json!({
        "holds": audit.breaches.is_empty(),
        "purchases": audit.purchases,
        "budgets": audit.caps,
        "unfinished": audit.open,
        "credited": sum(totals.credited),
        "debited": sum(totals.debited),
        "balance": sum(totals.balance),
        "reserved": sum(totals.reserved),
        "owed": sum(totals.owed),
        "overpaid_msat": settled.excess.as_msat(),
        "overpaid_invoices": settled.overpaid,
        "breaches": audit.breaches.iter().map(breach).collect::<Vec<_>>(),
    });
    format!("{report}\n")
}

/// An error if something does not hold.
pub(super) fn verdict(audit: &Audit) -> Result<(), LedgerFault> {
    match audit.breaches.len() {
        0 => Ok(()),
        1 => Err(LedgerFault::Breached("1 breach".to_owned())),
        count if count < Audit::BREACHES_MAX => Err(LedgerFault::Breached(format!("{count} breaches"))),
        count => Err(LedgerFault::Breached(format!("{count} breaches or more"))),
    }
}

/// A sum as a number, or as text where it is larger than programs can be trusted to read.
pub(super) fn sum(units: u128) -> Value {
    u64::try_from(units).map_or_else(|_| Value::from(units.to_string()), Value::from)
}

fn breach(breach: &Breach) -> Value {
    let account = |what: &str, key: &l402_paywall::ledger::AccountKey| json!({ "breach": what, "account": hex::encode(key.as_bytes()) });
    match breach {
        Breach::Unbalanced(key) => account("unbalanced", key),
        Breach::Reserved(key) => account("reserved", key),
        Breach::Credited(key) => account("credited", key),
        Breach::Debited(key) => account("debited", key),
        Breach::Owed(key) => account("owed", key),
        Breach::Orphan(id) => json!({ "breach": "orphan", "reservation": hex::encode(id.as_bytes()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::ledger::sample::sample;
    use l402_lightning::MilliSat;
    use l402_paywall::ledger::{AccountKey, ReservationId, Totals};

    #[test]
    fn a_ledger_that_holds_is_told_with_its_sums() {
        let audit = sample().audit();
        assert!(verdict(&audit).is_ok());
        let settled = SettlementTotals::default();
        insta::assert_snapshot!("holds", text(&audit, &settled));
        insta::assert_snapshot!("holds_json", json(&audit, &settled));
    }

    #[test]
    fn what_came_on_top_of_prices_is_told_beside_the_units() {
        let settled = |overpaid, msat| SettlementTotals {
            overpaid,
            excess: MilliSat::from_msat(msat),
            ..SettlementTotals::default()
        };
        let audit = Audit::default();
        for (totals, line) in [
            (settled(1, 250), "\noverpaid      250 msat in 1 invoice\n✓"),
            (settled(3, 4_001), "\noverpaid      4001 msat in 3 invoices\n✓"),
        ] {
            assert!(text(&audit, &totals).contains(line), "{}", text(&audit, &totals));
        }
        let told: Value = serde_json::from_str(&json(&audit, &settled(3, 4_001))).expect("JSON");
        assert_eq!((&told["overpaid_msat"], &told["overpaid_invoices"]), (&4_001.into(), &3.into()));
    }

    #[test]
    fn every_breach_is_named_and_fails_the_command() {
        let key = AccountKey::from_bytes([0xab; 32]);
        let audit = Audit {
            totals: Totals { credited: u128::from(u64::MAX) + 1, ..Totals::default() },
            breaches: vec![
                Breach::Unbalanced(key),
                Breach::Reserved(key),
                Breach::Credited(key),
                Breach::Debited(key),
                Breach::Owed(key),
                Breach::Orphan(ReservationId::from_bytes([0xcd; 16])),
            ],
            ..Audit::default()
        };
        let settled = SettlementTotals::default();
        insta::assert_snapshot!("breached", text(&audit, &settled));
        insta::assert_snapshot!("breached_json", json(&audit, &settled));
        let fault = verdict(&audit).expect_err("it does not hold");
        assert_eq!(fault.to_string(), "units are not where they belong: 6 breaches");
        let full = Audit { breaches: vec![Breach::Owed(key); Audit::BREACHES_MAX], ..Audit::default() };
        assert!(verdict(&full).expect_err("it does not hold").to_string().ends_with("100 breaches or more"));
    }
}
