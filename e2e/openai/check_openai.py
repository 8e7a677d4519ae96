"""PyPI `openai` at a metered route. `run` beside this file builds what it needs, and says how the credential is sent."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import openai
from model import BROKEN, DEAR, PICKY, PLAIN, SILENT, SLOW, USAGE, WORDS, Call, Model
from openai import AsyncOpenAI, OpenAI
from stage.challenge import Challenge
from stage.checks import Checks
from stage.gateway import Gateway, binary
from stage.wallet import Wallet

PACK = 1_000
MAX = 200
FLOOR = 3
# Nothing of this takes long.
PATIENCE_SECS = 20
SERVICES = """\
  - name: llm
    path: /v1/
    upstream: {url}
    price: 10 sat
    meter: {{ unit: token, pack: {pack}, cost: {{ sse: usage.total_tokens, max: {max}, floor: {floor} }} }}
"""
ASK = [{"role": "user", "content": "How is the weather?"}]
# The role, every word, and the end: each is an event with content.
EVENTS = len(WORDS) + 2
# What the model itself wants to see, beside our credential.
OWN_KEY = "key-of-the-model"


class Purse:
    """A token that was bought through the client, and what the ledger says of it."""

    def __init__(self, ground: "Ground") -> None:
        self._config = ground.gateway.config
        unpaid = ground.client("Bearer unused")
        try:
            unpaid.chat.completions.create(model=PLAIN, messages=ASK)
            raise AssertionError("served without payment")
        except openai.APIStatusError as error:
            self.refusal = error
        lines = self.refusal.response.headers.get_list("www-authenticate")
        challenge = Challenge.read(lines)
        preimage = Wallet(ground.gateway.wallet_url).pay(challenge.invoice)
        self.macaroon = challenge.macaroon
        self.credential = f"L402 {challenge.macaroon}:{preimage}"
        self._told = 0

    def state(self) -> dict:
        """`octroi ledger balance`, once nothing is unfinished."""
        end = time.monotonic() + PATIENCE_SECS
        while (state := json.loads(octroi("ledger", "balance", self.macaroon, "--json", config=self._config)))[
            "unfinished"
        ]:
            if time.monotonic() > end:
                raise AssertionError(f"unfinished after {PATIENCE_SECS} s: {state}")
            time.sleep(0.02)
        return state

    def cost(self) -> int:
        """What was charged since the last time this was asked."""
        before, self._told = self._told, self.state()["debited"]
        return self._told - before


class Ground:
    """The gateway, the model behind it, and the checks."""

    def __init__(self, checks: Checks, gateway: Gateway, model: Model) -> None:
        self.check = checks.check
        self.equal = checks.equal
        self.gateway = gateway
        self.model = model

    def client(self, authorization: str, **options: object) -> OpenAI:
        """A client as a buyer would make it."""
        return OpenAI(
            base_url=f"{self.gateway.url}/v1",
            api_key="unused",
            default_headers={"Authorization": authorization},
            max_retries=0,
            timeout=PATIENCE_SECS,
            **options,
        )

    def last(self) -> Call:
        """The last request that reached the model."""
        return self.model.calls[-1]


def octroi(*arguments: str, config: Path) -> str:
    """An `octroi` command beside the running gateway."""
    command = [str(binary()), *arguments, "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECS, check=False)
    if done.returncode:
        raise AssertionError(f"{arguments[:2]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def words_of(stream) -> str:
    """The text of a stream, read to its end."""
    return " ".join(
        choice.delta.content for chunk in stream for choice in chunk.choices if choice.delta and choice.delta.content
    )


def refusal_of(call: Callable[[], object]) -> openai.APIStatusError:
    """The error that a call ends with."""
    try:
        call()
    except openai.APIStatusError as error:
        return error
    raise AssertionError("no error")


def bought_through_the_client(ground: Ground) -> None:
    purse = Purse(ground)
    error = purse.refusal
    ground.equal(
        "a call without payment is an APIStatusError with 402",
        (type(error), error.status_code),
        (openai.APIStatusError, 402),
    )
    document = error.response.json()
    ground.equal("its text says why", str(error), f"Error code: 402 - {document['detail']}")
    ground.equal("  and its code too", (error.code, error.type), (document["reason"], "payment_required"))
    members = {name: document.get(name) for name in ("title", "status", "price_sats", "units")}
    expected = {"title": "Payment Required", "status": 402, "price_sats": 10, "units": PACK}
    ground.equal("its response says what is sold", members, expected)
    ground.equal("the model saw nothing of it", ground.model.calls, [])

    client = ground.client(purse.credential)
    answer = client.chat.completions.create(model=PLAIN, messages=ASK)
    ground.equal(
        "paid by the challenge in the error, the call is answered", answer.choices[0].message.content, " ".join(WORDS)
    )
    ground.equal(
        "an answer without a stream is billed by its usage", (answer.usage.total_tokens, purse.cost()), (USAGE, USAGE)
    )
    ground.equal("the model does not see the credential", ground.last().authorization, [])
    ground.check("its request is not changed", "stream_options" not in ground.last().body, ground.last().body)
    goes_on = ground.client("Bearer unused").with_options(default_headers={"Authorization": purse.credential})
    goes_on.chat.completions.create(model=PLAIN, messages=ASK)
    ground.equal("a client that was refused goes on with the credential", purse.cost(), USAGE)


def streams(ground: Ground) -> None:
    purse = Purse(ground)
    client = ground.client(purse.credential)
    cases = {
        "without stream_options": {},
        "with include_usage: true": {"stream_options": {"include_usage": True}},
        "with include_usage: false": {"stream_options": {"include_usage": False}},
        "with stream_options: null": {"extra_body": {"stream_options": None}},
        "with another option beside it": {"extra_body": {"stream_options": {"include_obfuscation": False}}},
    }
    for name, options in cases.items():
        text = words_of(client.chat.completions.create(model=PLAIN, messages=ASK, stream=True, **options))
        ground.equal(
            f"a stream {name} is whole, and billed by its usage chunk", (text, purse.cost()), (" ".join(WORDS), USAGE)
        )
        asked = ground.last().body["stream_options"]
        ground.check("  the model was asked for the usage", asked["include_usage"] is True, asked)
    ground.equal(
        "  what else it was asked for stays", ground.last().body["stream_options"]["include_obfuscation"], False
    )

    stream = client.chat.completions.create(model=SILENT, messages=ASK, stream=True)
    ground.equal("a model that keeps its usage to itself is read to its end", words_of(stream), " ".join(WORDS))
    ground.equal(f"  and billed by the floor: {EVENTS} events, {FLOOR} each", purse.cost(), EVENTS * FLOOR)
    text = words_of(client.chat.completions.create(model=DEAR, messages=ASK, stream=True))
    ground.equal(
        f"a usage above `max` is billed as {MAX}, and the answer is whole", (text, purse.cost()), (" ".join(WORDS), MAX)
    )

    async def asynchronous() -> str:
        async with AsyncOpenAI(
            base_url=client.base_url, api_key="unused", default_headers={"authorization": purse.credential}
        ) as other:
            stream = await other.chat.completions.create(model=PLAIN, messages=ASK, stream=True)
            return " ".join([c.choices[0].delta.content or "" async for c in stream if c.choices]).strip()

    ground.equal("the asynchronous client gets the same", asyncio.run(asynchronous()), " ".join(WORDS))
    ground.equal("  for the same", purse.cost(), USAGE)


def hang_ups(ground: Ground) -> None:
    purse = Purse(ground)
    client = ground.client(purse.credential)
    for chunks in (1, 7):
        stream = client.chat.completions.create(model=SLOW, messages=ASK, stream=True)
        received = [next(stream) for _ in range(chunks)]
        stream.close()
        cost = purse.cost()
        call = ground.last()
        least, most = len(received) * FLOOR, call.events * FLOOR
        ground.check(
            f"who hangs up after {chunks} chunks is billed by the floor: {cost} for {call.events} that the model sent",
            least <= cost <= most and cost % FLOOR == 0,
            (least, cost, most),
        )
        ground.check(
            "  asking for no usage would not have helped", call.body["stream_options"]["include_usage"], call.body
        )
    ends = ground.last().events
    ground.check("  the model was not kept at work", ends < 100, ends)


def failures(ground: Ground) -> None:
    purse = Purse(ground)
    client = ground.client(purse.credential)
    client.chat.completions.create(model=PLAIN, messages=ASK)
    purse.cost()
    error = refusal_of(lambda: client.chat.completions.create(model=BROKEN, messages=ASK))
    ground.equal("a model out of order is an InternalServerError", type(error), openai.InternalServerError)
    ground.equal("  told in its own words", error.body["message"], "out of order")
    ground.equal("  and costs nothing", purse.cost(), 0)
    error = refusal_of(lambda: client.chat.completions.create(model=PICKY, messages=ASK, stream=True))
    ground.equal("a request that the model refuses is a BadRequestError", type(error), openai.BadRequestError)
    ground.equal("  and costs one floor", purse.cost(), FLOOR)
    wrong = purse.credential[:-1] + ("0" if purse.credential[-1] != "0" else "1")
    error = refusal_of(lambda: ground.client(wrong).chat.completions.create(model=PLAIN, messages=ASK))
    ground.equal("a wrong preimage is an AuthenticationError", type(error), openai.AuthenticationError)
    ground.equal("  and costs nothing either", purse.cost(), 0)


def keys_of_the_model(ground: Ground) -> None:
    purse = Purse(ground)
    joined = ground.client(f"{purse.credential}, Bearer {OWN_KEY}")
    joined.chat.completions.create(model=PLAIN, messages=ASK)
    ground.equal("a key in the same line reaches the model, alone", ground.last().authorization, [f"Bearer {OWN_KEY}"])
    ground.equal("  and the call is billed", purse.cost(), USAGE)

    def add_credential(request: httpx2.Request) -> None:
        request.headers = httpx2.Headers([*request.headers.raw, (b"Authorization", purse.credential.encode())])

    with httpx2.Client(event_hooks={"request": [add_credential]}) as http_client:
        client = ground.client(f"Bearer {OWN_KEY}", http_client=http_client)
        text = words_of(client.chat.completions.create(model=PLAIN, messages=ASK, stream=True))
    ground.equal(
        "so does one in a line of its own",
        (text, ground.last().authorization),
        (" ".join(WORDS), [f"Bearer {OWN_KEY}"]),
    )
    ground.equal("  and that call is billed", purse.cost(), USAGE)


def the_end_of_a_pack(ground: Ground) -> None:
    purse = Purse(ground)
    client = ground.client(purse.credential)
    served = 0
    while (left := PACK - served * USAGE) >= MAX:
        words_of(client.chat.completions.create(model=PLAIN, messages=ASK, stream=True))
        served += 1
    ground.equal(f"{served} calls leave {left} of {PACK}", purse.state()["balance"], left)
    calls = len(ground.model.calls)
    for stream in (True, False):
        error = refusal_of(lambda s=stream: client.chat.completions.create(model=PLAIN, messages=ASK, stream=s))
        got = (type(error), error.status_code, error.code, error.response.json()["balance"])
        ground.equal(
            "what may cost more than is left is refused before", got, (openai.APIStatusError, 402, "exhausted", left)
        )
        ground.check(
            "  with a challenge for the next pack", Challenge.read(error.response.headers.get_list("www-authenticate"))
        )
        ground.check("  in words", f"{left} units left" in str(error), str(error))
    ground.equal("  the model saw nothing of it", len(ground.model.calls), calls)
    ground.equal("  and nothing was charged", purse.state()["balance"], left)

    octroi("token", "revoke", purse.macaroon, config=ground.gateway.config)
    end = time.monotonic() + PATIENCE_SECS
    while (reason := refusal_of(lambda: client.chat.completions.create(model=PLAIN, messages=ASK)).code) == "exhausted":
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    ground.equal("a token that was revoked is told so", reason, "revoked")


PARTS = {
    "1. Buying through the client": bought_through_the_client,
    "2. Streams": streams,
    "3. Clients that hang up": hang_ups,
    "4. Errors": failures,
    "5. A model with a key of its own": keys_of_the_model,
    "6. The end of a pack": the_end_of_a_pack,
}


def main() -> int:
    checks = Checks()
    model = Model()
    try:
        services = SERVICES.format(url=model.url, pack=PACK, max=MAX, floor=FLOOR)
        gateway = Gateway(services, Path(os.environ["TARGET"]) / "e2e" / "openai" / "gateway")
        try:
            print(f"openai {openai.__version__}")
            ground = Ground(checks, gateway, model)
            for title, part in PARTS.items():
                checks.run(title, lambda part=part: part(ground))
            audit = json.loads(octroi("ledger", "check", "--json", config=gateway.config))
        finally:
            code = gateway.stop()
    finally:
        model.stop()
    print("\n7. The end")
    checks.check("every invariant of the ledger holds", audit["holds"] and not audit["unfinished"], audit)
    checks.equal("the gateway ends with 0", code, 0)
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
