//! lnd's settlements in their order, from any point on.
//!
//! lnd numbers settlements (`settle_index`) and tells again all those after a number, then the new ones as they happen.
//! Two things it does not do. It cannot tell those after number 0, because it reads 0 as "none": the first one is looked
//! for in its records. And nothing says whether a number that is missing was lost on the way or is that of a payment
//! which is not told here (AMP): so a gap is asked for again, once, before it is believed.

use crate::{
    channel::{Listening, Node},
    fault::CallError,
    messages::{Invoice, InvoicePage, InvoiceSubscription, LIST_INVOICES, SUBSCRIBE_INVOICES},
};
use l402_lightning::{InvoicerError, SETTLEMENTS_MAX, Settlement};
use l402_node_http::Fault;
use std::time::Duration;
use tokio::time::timeout;

/// Invoices in one page: what fits into one message, unless they are unusually large.
const PAGE_INVOICES: u64 = 500;
/// How long to wait for a node's very first settlement before its records are read a second time: lnd does not say when
/// it has begun to listen, so the first one may slip through between the reading and the listening.
const FIRST_SETTLEMENT_WAIT: Duration = Duration::from_mins(1);
/// More invoices than lnd will ever have, and less than what its databases count to. lnd tells of each new invoice as
/// well, which would wake two processes for every one that is sold; one who knows so many is told of none.
const ALL_KNOWN: u64 = 1 << 62;

/// The settlements after a cursor.
pub(crate) struct Feed {
    /// The last settlement that was handed out.
    last: u64,
    /// The first one of all, where it was looked for and not handed out yet.
    first: Option<Settlement>,
    news: News,
}

/// What lnd tells.
struct News {
    invoices: Listening<Invoice>,
    /// Up to here lnd has told twice, so a number that is missing is no loss.
    sure_until: u64,
}

impl Feed {
    /// The settlements after `cursor`; 0: all there ever were.
    pub(crate) async fn after(node: &Node, cursor: u64) -> Result<Self, InvoicerError> {
        if cursor == 0 {
            return Self::from_the_beginning(node).await;
        }
        Ok(Self { last: cursor, first: None, news: News::after(node, cursor, cursor) })
    }

    /// Where it stands: the last settlement that was handed out.
    pub(crate) fn cursor(&self) -> u64 {
        self.last
    }

    /// Waits for the next settlements, at most [`SETTLEMENTS_MAX`], and hands them out in their order.
    pub(crate) async fn next(&mut self, node: &Node) -> Result<Vec<Settlement>, InvoicerError> {
        if let Some(first) = self.first.take() {
            self.last = first.index;
            return Ok(vec![first]);
        }
        loop {
            let settlements = self.next_told(node).await?;
            if !settlements.is_empty() {
                return Ok(settlements);
            }
        }
    }

    /// Waits for what lnd tells next; nothing of it if all was told before, or has to be told again.
    async fn next_told(&mut self, node: &Node) -> Result<Vec<Settlement>, InvoicerError> {
        let told = self.news.wait().await?;
        let newest = told.iter().map(|settlement| settlement.index).max().unwrap_or_default();
        let mut settlements = Vec::with_capacity(told.len());
        for settlement in told {
            let index = settlement.index;
            let missing = index > self.last.saturating_add(1) && index > self.news.sure_until;
            // There is nothing to ask for again where the beginning cannot be asked for.
            if missing && self.last > 0 {
                self.news = News::after(node, self.last, newest);
                break;
            }
            if index > self.last {
                self.last = index;
                settlements.push(settlement);
            }
        }
        Ok(settlements)
    }

    /// Begins with the first settlement in the records, or with the first one ever, when it comes.
    async fn from_the_beginning(node: &Node) -> Result<Self, InvoicerError> {
        let mut news = News::after(node, 0, 0);
        // Has lnd begin to listen before its records are read.
        if let Some(answer) = news.invoices.next_if_here().await {
            answer.map_err(|error| error.of(&SUBSCRIBE_INVOICES))?;
        }
        let mut wait = FIRST_SETTLEMENT_WAIT;
        loop {
            let first = match first_in_records(node).await? {
                InRecords::First(first) => first,
                InRecords::Closed => return Ok(Self { last: 0, first: None, news }),
                InRecords::None => {
                    let Ok(told) = timeout(wait, news.wait()).await else {
                        wait = Duration::MAX;
                        continue;
                    };
                    match told?.first() {
                        Some(first) if first.index == 1 => *first,
                        _ => continue,
                    }
                }
            };
            let news = News::after(node, first.index, first.index);
            return Ok(Self { last: 0, first: Some(first), news });
        }
    }
}

impl News {
    /// What lnd tells after the settlement `last`; `sure_until`: up to where it was told before.
    fn after(node: &Node, last: u64, sure_until: u64) -> Self {
        let question = InvoiceSubscription { add_index: ALL_KNOWN, settle_index: last };
        Self { invoices: node.listen(&SUBSCRIBE_INVOICES, &question), sure_until }
    }

    /// Waits for a settlement, and takes those along that are here already.
    async fn wait(&mut self) -> Result<Vec<Settlement>, InvoicerError> {
        let mut settlements = Vec::new();
        while settlements.is_empty() {
            let answer = self.invoices.next().await.map_err(|error| error.of(&SUBSCRIBE_INVOICES))?;
            // lnd goes away gently: that is an interruption like any other.
            settlements.extend(answer.ok_or(InvoicerError::Unreachable)?.settlement()?);
        }
        while settlements.len() < SETTLEMENTS_MAX {
            match self.invoices.next_if_here().await {
                Some(Ok(Some(invoice))) => settlements.extend(invoice.settlement()?),
                // How the answers ended is told at the next call.
                Some(Ok(None) | Err(_)) | None => break,
            }
        }
        Ok(settlements)
    }
}

/// What lnd's records say of its first settlement.
enum InRecords {
    First(Settlement),
    /// Nothing was ever settled.
    None,
    /// The credential may not list invoices.
    Closed,
}

async fn first_in_records(node: &Node) -> Result<InRecords, InvoicerError> {
    let found = search_records(node).await?;
    match &found {
        // Whatever settles while the pages are read may be seen or not. A second reading sees all those that came
        // before the one that was seen.
        InRecords::First(first) if first.index > 1 => search_records(node).await,
        _ => Ok(found),
    }
}

/// Reads pages, the oldest invoice first, until the first settlement is found. It is mostly one of the oldest.
async fn search_records(node: &Node) -> Result<InRecords, InvoicerError> {
    let mut found: Option<Settlement> = None;
    let mut page = InvoicePage { index_offset: 0, num_max_invoices: PAGE_INVOICES };
    while found.is_none_or(|first| first.index > 1) {
        let list = match node.ask(&LIST_INVOICES, &page).await {
            Ok(list) => list,
            Err(error) if error.says_forbidden() => return Ok(InRecords::Closed),
            Err(CallError::Fault(Fault::TooLarge)) if page.num_max_invoices > 1 => {
                page.num_max_invoices /= 2;
                continue;
            }
            Err(error) => return Err(error.of(&LIST_INVOICES)),
        };
        for invoice in &list.invoices {
            let settlement = invoice.settlement()?;
            found = found.into_iter().chain(settlement).min_by_key(|settlement| settlement.index);
        }
        if list.invoices.is_empty() || list.last_index_offset <= page.index_offset {
            break;
        }
        page.index_offset = list.last_index_offset;
    }
    Ok(found.map_or(InRecords::None, InRecords::First))
}
