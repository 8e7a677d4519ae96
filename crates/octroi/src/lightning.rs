//! The node that the gateway is paid by, with a deadline on every call.

use l402::PaymentHash;
use l402_lightning::{
    BoxFuture, Invoice, InvoiceRequest, InvoiceState, Invoicer, InvoicerCapabilities, InvoicerError,
    Settlement,
};
use std::{sync::Arc, time::Duration};

/// Bounds every call to a node: a hanging node costs a client one wait, never a stuck request.
pub struct Deadline {
    node: Arc<dyn Invoicer>,
    limit: Duration,
}

impl Deadline {
    /// Gives each call to `node` at most `limit`.
    pub fn new(node: Arc<dyn Invoicer>, limit: Duration) -> Self {
        Self { node, limit }
    }

    async fn bounded<T>(&self, call: BoxFuture<'_, Result<T, InvoicerError>>) -> Result<T, InvoicerError> {
        tokio::time::timeout(self.limit, call).await.unwrap_or(Err(InvoicerError::Timeout))
    }
}

impl Invoicer for Deadline {
    fn capabilities(&self) -> InvoicerCapabilities {
        self.node.capabilities()
    }

    fn create(&self, request: InvoiceRequest) -> BoxFuture<'_, Result<Invoice, InvoicerError>> {
        Box::pin(self.bounded(self.node.create(request)))
    }

    fn lookup(&self, payment_hash: PaymentHash) -> BoxFuture<'_, Result<InvoiceState, InvoicerError>> {
        Box::pin(self.bounded(self.node.lookup(payment_hash)))
    }

    /// A feed waits as long as nothing settles, so it has no deadline.
    fn settlements(&self, cursor: u64) -> BoxFuture<'_, Result<Vec<Settlement>, InvoicerError>> {
        self.node.settlements(cursor)
    }
}
