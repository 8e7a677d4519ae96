// Answers for the library macaroon of npm: one JSON object in, one out.

import { readFileSync } from "node:fs";
import macaroon from "macaroon";

const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));

function mint(order) {
  const token = macaroon.newMacaroon({
    version: 2,
    rootKey: bytes(order.root_key),
    identifier: bytes(order.identifier),
    location: order.location,
  });
  for (const caveat of order.caveats) {
    token.addFirstPartyCaveat(caveat);
  }
  // The library's binary writer doubles its buffer with every piece it appends, so it runs out of memory from about
  // three caveats on. Longer tokens are put together from its JSON export, which has the same parts.
  const written = order.caveats.length <= 1 ? Buffer.from(token.exportBinary()) : binary(token.exportJSON());
  return written.toString("base64");
}

function binary(json) {
  const part = (object, name) =>
    name in object ? Buffer.from(object[name], "utf8") : Buffer.from(object[`${name}64`], "base64url");
  const field = (tag, data) => {
    const length = data.length < 128 ? [data.length] : [(data.length & 127) | 128, data.length >> 7];
    return Buffer.concat([Buffer.from([tag, ...length]), data]);
  };
  const end = Buffer.from([0]);
  return Buffer.concat([
    Buffer.from([json.v]),
    ...(json.l ? [field(1, Buffer.from(json.l, "utf8"))] : []),
    field(2, part(json, "i")),
    end,
    ...(json.c ?? []).flatMap((caveat) => [field(2, part(caveat, "i")), end]),
    end,
    field(6, part(json, "s")),
  ]);
}

function judge(presented) {
  try {
    const token = macaroon.importMacaroon(new Uint8Array(Buffer.from(presented.token, "base64")));
    token.verify(bytes(presented.root_key), () => null);
    return null;
  } catch (error) {
    return String(error);
  }
}

const questions = JSON.parse(readFileSync(0, "utf8"));
const answers = { mint: questions.mint.map(mint), judge: questions.judge.map(judge) };
process.stdout.write(JSON.stringify(answers));
