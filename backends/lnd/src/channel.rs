//! Calls over lnd's gRPC interface.

use crate::{call::Answers, fault::CallError, lines::Lines, link::Link, messages::Method};
use l402_lightning::{OpenError, Settings};
use l402_node_http::Fault;
use prost::Message;
use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tokio::time::timeout;

/// Longest time for the answer to a question.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// One lnd, over gRPC.
pub(crate) struct Node {
    lines: Arc<Lines>,
}

impl Node {
    /// Prepares the way with the settings `address`, `certificate` and `macaroon`; connects to nothing.
    pub(crate) fn open(settings: &Settings) -> Result<Self, OpenError> {
        Ok(Self { lines: Arc::new(Lines::new(Link::open(settings)?)) })
    }

    /// Asks a question once and waits for its answer, 5 s at most.
    pub(crate) async fn ask<Q, A>(&self, method: &Method<Q, A>, question: &Q) -> Result<A, CallError>
    where
        Q: Message,
        A: Message + Default,
    {
        let question = self.lines.link().question(method, question)?;
        let answer = async { question.ask(self.lines.ready().await?).await?.only().await };
        timeout(ANSWER_TIMEOUT, answer).await.unwrap_or(Err(Fault::Timeout.into()))
    }

    /// Begins to ask a question that any number of answers may follow, for as long as it takes.
    pub(crate) fn listen<Q, A>(&self, method: &Method<Q, A>, question: &Q) -> Listening<A>
    where
        Q: Message,
        A: Message + Default + 'static,
    {
        let lines = Arc::clone(&self.lines);
        let question = lines.link().question(method, question);
        Listening::Opening(Box::pin(async move { question?.ask(lines.ready().await?).await }))
    }
}

/// The answers that follow a question, one by one.
pub(crate) enum Listening<A> {
    /// lnd says nothing before its first answer, not even that it heard the question.
    Opening(Pin<Box<dyn Future<Output = Result<Answers<A>, CallError>> + Send>>),
    Coming(Answers<A>),
    Ended,
}

impl<A: Message + Default> Listening<A> {
    /// Waits for the next answer; `None` if lnd ended them, and after an error. Nothing is lost if this is dropped.
    pub(crate) async fn next(&mut self) -> Result<Option<A>, CallError> {
        let answer = self.wait().await;
        if !matches!(answer, Ok(Some(_))) {
            *self = Self::Ended;
        }
        answer
    }

    /// The next answer if it is here already. Has the question sent, too, if it was not.
    pub(crate) async fn next_if_here(&mut self) -> Option<Result<Option<A>, CallError>> {
        let mut next = pin!(self.next());
        poll_fn(|context| match next.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    async fn wait(&mut self) -> Result<Option<A>, CallError> {
        loop {
            match self {
                Self::Opening(opening) => *self = Self::Coming(opening.as_mut().await?),
                Self::Coming(answers) => return answers.next().await,
                Self::Ended => return Ok(None),
            }
        }
    }
}
