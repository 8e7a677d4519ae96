//! Fetching with a purse: ask, pay once if need be, ask again with the token.

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use l402::{Offer, authorization_value};
use reqwest::Url;

use crate::approval::{Approved, Refusal};
use crate::cap::SpendingCap;
use crate::demand::{self, Verdict};
use crate::error::FetchError;
use crate::event::{Event, Receipt, Witness};
use crate::http::{Answer, CrossOrigin, Payload, Transport, Visit};
use crate::scope::Scope;
use crate::vault::{PurchaseRecord, Standing, Vault, VaultError};
use crate::wallet::{Wallet, WalletAddress};

/// A token with less time left than this that once was accepted and now is refused has expired by the seller's
/// clock, and may be renewed.
const CLOCK_SKEW_SECS: u64 = 30;

/// Tells the time in unix seconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What is to be fetched.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where.
    pub url: Url,
    /// How.
    pub method: Method,
    /// Header fields to send.
    pub headers: HeaderMap,
    /// What to send.
    pub payload: Payload,
    /// Whether redirects to other origins are followed.
    pub elsewhere: CrossOrigin,
}

impl Request {
    /// A plain `GET`.
    pub fn get(url: Url) -> Self {
        let elsewhere = CrossOrigin::Refuse;
        Self { url, method: Method::GET, headers: HeaderMap::new(), payload: Payload::Empty, elsewhere }
    }
}

/// What may be spent on one fetch.
#[derive(Debug, Clone, Copy)]
pub enum Spending {
    /// Nothing: tokens in the store are used, none is bought.
    Nothing,
    /// Up to this, amount and fee together.
    UpTo(SpendingCap),
}

/// Where the money comes from.
#[derive(Debug, Clone)]
pub enum Purse {
    /// Nowhere.
    None,
    /// From this wallet, opened when it is needed.
    At(WalletAddress),
    /// From this wallet.
    Open(Wallet),
}

/// A client that pays.
pub struct Buyer {
    /// Tokens and intents.
    pub vault: Vault,
    /// What sends requests.
    pub transport: Transport,
    /// Where the money comes from.
    pub purse: Purse,
    /// What may be spent on one fetch.
    pub spending: Spending,
    /// How long the wallet may try.
    pub payment_timeout: Duration,
    /// The time.
    pub clock: Clock,
    /// Told what happens.
    pub witness: Witness,
}

/// An answer, and what it took.
#[derive(Debug)]
pub struct Fetched {
    /// The answer; its body has not been read.
    pub answer: Answer,
    /// Where it came from, after redirects.
    pub url: Url,
    /// What was paid for it, in this run or for this run by an earlier one.
    pub receipt: Option<Receipt>,
    /// A token was shown.
    pub with_token: bool,
}

/// What a fetch would cost.
#[derive(Debug)]
#[non_exhaustive]
pub enum Quote {
    /// Nothing: it was answered without payment.
    Free(Box<Fetched>),
    /// The server asks for this; the offer is in order.
    Priced(Box<Approved>),
    /// The server asks for payment, and this offer would be refused.
    Refused {
        /// The offer.
        offer: Box<Offer>,
        /// Why.
        refusal: Refusal,
    },
}

/// A demand for payment, as it stands after the request that met it.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) offer: Offer,
    pub(crate) scope: Scope,
    pub(crate) path: String,
    /// The token that did not open it, if one was shown.
    pub(crate) shown: Option<PurchaseRecord>,
}

/// What a request met.
enum Met {
    Answer(Answer, Option<PurchaseRecord>),
    Demand(Box<Demand>),
    /// A token was refused in a way that no other would cure.
    Rejection(PurchaseRecord),
}

/// Which token to show.
enum Show {
    /// The best one in the store, at each stop of the way.
    Best,
    /// This one.
    This(Box<PurchaseRecord>),
}

impl Buyer {
    /// Fetches, paying at most once and at most the cap.
    pub async fn fetch(&self, request: &Request) -> Result<Fetched, FetchError> {
        let mut visit = begin(request)?;
        let mut met = self.ask(&mut visit, request.elsewhere, Show::Best).await?;
        if let Met::Answer(answer, None) = &met
            && asks_for_patience(answer)
            && !visit.has_strayed()
            && self.somebody_bought(visit.named()).await?
        {
            met = self.ask(&mut visit, request.elsewhere, Show::Best).await?;
        }
        let demand = match met {
            Met::Answer(answer, shown) => return self.hand_over(answer, &visit, shown, None).await,
            Met::Rejection(shown) => return Err(self.refused(shown).await?),
            Met::Demand(demand) => demand,
        };
        if visit.has_strayed() {
            return Err(FetchError::ForeignDemand { origin: visit.origin().clone() });
        }
        if demand::has_own_credential(visit.headers()) {
            return Err(FetchError::OwnCredential);
        }
        if let Some(shown) = demand.shown.clone().filter(|shown| shown.scope.covers(&demand.scope)) {
            if is_used_up(&shown) {
                let spent = shown.with_standing(Standing::Spent { at: (self.clock)() });
                self.with_vault(move |vault| vault.write(&spent)).await?;
            } else if !self.is_renewable(&shown) {
                return Err(self.refused(shown).await?);
            }
        }
        let (token, receipt) = self.obtain(visit.named(), &demand).await?;
        match self.ask(&mut visit, request.elsewhere, Show::This(Box::new(token.clone()))).await? {
            Met::Answer(answer, shown) => self.hand_over(answer, &visit, shown, receipt).await,
            Met::Demand(_) | Met::Rejection(_) => Err(self.refused(token).await?),
        }
    }

    /// Sends the request as [`fetch`](Self::fetch) would, and says what the answer would cost. Never pays.
    pub async fn quote(&self, request: &Request, cap: SpendingCap) -> Result<Quote, FetchError> {
        let mut visit = begin(request)?;
        match self.ask(&mut visit, request.elsewhere, Show::Best).await? {
            Met::Answer(answer, shown) => {
                let fetched = self.hand_over(answer, &visit, shown, None).await?;
                Ok(Quote::Free(Box::new(fetched)))
            }
            Met::Rejection(shown) => {
                Err(FetchError::StillRefused { hash: shown.payment_hash, origin: shown.origin })
            }
            Met::Demand(demand) => {
                if visit.has_strayed() {
                    return Err(FetchError::ForeignDemand { origin: visit.origin().clone() });
                }
                let offer = Box::new(demand.offer.clone());
                Ok(match Approved::check(demand.offer, cap, (self.clock)()) {
                    Ok(approved) => Quote::Priced(Box::new(approved)),
                    Err(refusal) => Quote::Refused { offer, refusal },
                })
            }
        }
    }

    /// Sends the request and follows its redirects.
    async fn ask(&self, visit: &mut Visit, elsewhere: CrossOrigin, show: Show) -> Result<Met, FetchError> {
        loop {
            let shown = self.token_to_show(visit, &show).await?;
            let mut headers = visit.headers().clone();
            if let Some(record) = &shown {
                present(&mut headers, record);
                if matches!(show, Show::Best) {
                    (self.witness)(&Event::TokenPresented { hash: record.payment_hash });
                }
            }
            let answer = self.transport.send(visit.method(), visit.url(), headers, visit.payload()).await?;
            if visit.follow(answer.status(), answer.headers(), elsewhere)? {
                (self.witness)(&Event::Redirected { to: visit.url() });
                continue;
            }
            return Ok(match (demand::judge(answer.status(), answer.headers()), shown) {
                (Verdict::Served, shown) | (Verdict::Rejected, shown @ None) => Met::Answer(answer, shown),
                (Verdict::Rejected, Some(shown)) => Met::Rejection(shown),
                (Verdict::Unreadable(faults), _) => return Err(FetchError::NoOffer { faults }),
                (Verdict::Offered(offer), shown) => {
                    let path = visit.path().to_owned();
                    let scope = Scope::of(&offer.token.view(), &path);
                    Met::Demand(Box::new(Demand { offer: *offer, scope, path, shown }))
                }
            });
        }
    }

    async fn token_to_show(&self, visit: &Visit, show: &Show) -> Result<Option<PurchaseRecord>, FetchError> {
        if visit.has_strayed() || demand::has_own_credential(visit.headers()) {
            return Ok(None);
        }
        match show {
            Show::This(record) => Ok(Some((**record).clone())),
            Show::Best => {
                let origin = visit.origin().clone();
                let records = self.with_vault(move |vault| vault.purchases(&origin)).await?;
                let now = (self.clock)();
                Ok(records
                    .into_iter()
                    .filter(|record| record.is_usable(now))
                    .max_by_key(|record| (shared_segments(&record.path, visit.path()), record.created_at)))
            }
        }
    }

    async fn hand_over(
        &self,
        answer: Answer,
        visit: &Visit,
        shown: Option<PurchaseRecord>,
        receipt: Option<Receipt>,
    ) -> Result<Fetched, FetchError> {
        let with_token = shown.is_some();
        // A server's own failure says nothing about the token.
        if let Some(record) = shown
            && !answer.status().is_server_error()
            && record.paid().is_some_and(|paid| paid.standing == Standing::Untried)
        {
            let accepted = record.with_standing(Standing::Accepted);
            if let Err(error) = self.with_vault(move |vault| vault.write(&accepted)).await {
                (self.witness)(&Event::NotSaved { error: &error });
            }
        }
        Ok(Fetched { answer, url: visit.url().clone(), receipt, with_token })
    }

    /// Notes that a paid token was refused, so that nothing is bought in its place.
    async fn refused(&self, record: PurchaseRecord) -> Result<FetchError, VaultError> {
        let error = FetchError::StillRefused { hash: record.payment_hash, origin: record.origin.clone() };
        let marked = record.with_standing(Standing::Refused { at: (self.clock)() });
        self.with_vault(move |vault| vault.write(&marked)).await?;
        Ok(error)
    }

    fn is_renewable(&self, shown: &PurchaseRecord) -> bool {
        let accepted = shown.paid().is_some_and(|paid| paid.standing == Standing::Accepted);
        accepted && shown.has_expired((self.clock)().saturating_add(CLOCK_SKEW_SECS))
    }

    /// Runs file work away from the async threads.
    pub(crate) async fn with_vault<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Vault) -> Result<T, VaultError> + Send + 'static,
    ) -> Result<T, VaultError> {
        let vault = self.vault.clone();
        match tokio::task::spawn_blocking(move || work(&vault)).await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Whether a token that was refused had units and has served before: then they are used up, and that is no breach of what
/// was sold.
fn is_used_up(shown: &PurchaseRecord) -> bool {
    shown.is_metered() && shown.paid().is_some_and(|paid| paid.standing == Standing::Accepted)
}

/// Whether the server has no challenge to give just now: too many asked for one.
fn asks_for_patience(answer: &Answer) -> bool {
    matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
        && answer.headers().contains_key(RETRY_AFTER)
}

fn begin(request: &Request) -> Result<Visit, FetchError> {
    let Request { url, method, headers, payload, .. } = request;
    Ok(Visit::new(url, method.clone(), headers.clone(), payload.clone())?)
}

/// Puts the token in front of whatever `Authorization` the caller sends: many servers read the first line only.
fn present(headers: &mut HeaderMap, record: &PurchaseRecord) {
    let Some(paid) = record.paid() else { return };
    let text = authorization_value(record.scheme, &record.token, &paid.preimage);
    let Ok(mut value) = HeaderValue::from_str(&text) else { return };
    value.set_sensitive(true);
    let own: Vec<HeaderValue> = headers.get_all(AUTHORIZATION).iter().cloned().collect();
    headers.insert(AUTHORIZATION, value);
    for value in own {
        headers.append(AUTHORIZATION, value);
    }
}

/// How many leading path segments two paths share.
fn shared_segments(a: &str, b: &str) -> usize {
    a.split('/').zip(b.split('/')).take_while(|(a, b)| a == b).count()
}
