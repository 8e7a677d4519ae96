// npm `@getalby/lightning-tools`: no token store of its own, so the second request is given the first one's credentials.

import { fetch402, fetchWithL402 } from "@getalby/lightning-tools/402"

import { pay, report } from "./report.mjs"

const wallet = { payInvoice: async ({ invoice }) => ({ preimage: await pay(invoice), fees_paid: 0 }) }
const PRICE_SATS = 10

const visits = {
  fetch402: (url, credentials) => fetch402(url, {}, { wallet, maxAmount: PRICE_SATS, credentials }),
  fetchWithL402: (url, credentials) => fetchWithL402(url, {}, { wallet, credentials }),
}

const visit = visits[process.argv[2]]
let credentials
await report(async (url) => {
  const response = await visit(url, credentials)
  credentials = response.payment?.credentials
  return response
})
