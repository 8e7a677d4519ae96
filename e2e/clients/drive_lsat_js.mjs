// npm `lsat-js`: parses the challenge (the `LSAT` line, which comes first), checks the preimage and writes the
// credential; HTTP, payment and keeping the token are the caller's.

import { createRequire } from "node:module"

import { pay, report } from "./report.mjs"

const { Lsat } = createRequire(import.meta.url)("lsat-js")

let lsat
await report(async (url) => {
  if (!lsat) {
    const unpaid = await fetch(url)
    const offered = Lsat.fromHeader(unpaid.headers.get("www-authenticate"))
    offered.setPreimage(await pay(offered.invoice))
    lsat = offered
  }
  return fetch(url, { headers: { authorization: lsat.toToken() } })
})
