// What a driver does: the same request twice, and one JSON line that says how each went.

import { createHash } from "node:crypto"

const { E2E_URL, E2E_WALLET } = process.env

async function door(path, ask) {
  const init = ask && { method: "POST", body: JSON.stringify(ask) }
  const answer = await fetch(E2E_WALLET + path, init)
  if (!answer.ok) throw new Error(`wallet: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

// Pays an invoice at the loopback node's door; the preimage in hex.
export async function pay(invoice) {
  const { payment_error, payment_preimage } = await door("/v1/channels/transactions", { payment_request: invoice })
  if (payment_error) throw new Error(`wallet: ${payment_error}`)
  return Buffer.from(payment_preimage, "base64").toString("hex")
}

async function settled() {
  const { payments } = await door("/v1/payments")
  return payments.filter(({ status }) => status === "SUCCEEDED").length
}

// `visit(url)` makes one request and resolves to a Response.
export async function report(visit, times = 2) {
  const requests = []
  for (let time = 0; time < times; time += 1) {
    const before = await settled()
    const response = await visit(E2E_URL)
    const body = Buffer.from(await response.arrayBuffer())
    const paid = (await settled()) - before
    requests.push({ paid, status: response.status, body_sha256: createHash("sha256").update(body).digest("hex") })
  }
  console.log(JSON.stringify({ requests }))
}
