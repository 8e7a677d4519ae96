"""What an outside observer knows of every token, and what the ledger may say of it.

Nothing here comes from the gateway but answers that a buyer received and lines that it printed.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from metered.http1 import Answer, Head
from metered.purchase import Purchase
from metered.upstream import Order, Upstream, body_of

# More of them say nothing new.
FAULTS_MAX = 20
# What the first line of the journal follows.
NO_LINE = {"line": 0, "credited_sum": 0, "debited_sum": 0}


@dataclass(frozen=True)
class Service:
    """A metered service. `estimate`: what is set aside for a request, which is also the most that it costs."""

    name: str
    prefix: str
    pack: int
    estimate: int
    is_fixed: bool

    def yaml(self, upstream: int) -> str:
        """Its section of the config."""
        cost = self.estimate if self.is_fixed else f"{{ header: L402-Cost, max: {self.estimate} }}"
        return (
            f"  - name: {self.name}\n    path: {self.prefix}\n    upstream: http://127.0.0.1:{upstream}\n"
            f"    price: 10 sat\n    meter: {{ unit: request, pack: {self.pack}, cost: {cost} }}\n"
        )

    def charge(self, order: Order) -> int:
        """What a whole answer costs: nothing where the upstream failed, the estimate where it did not say."""
        if order.status >= 500:
            return 0
        if self.is_fixed or order.told is None:
            return self.estimate
        return min(order.told, self.estimate)


@dataclass
class Account:
    """What the journal says of one token."""

    credits: list[int] = field(default_factory=list)
    debited: int = 0
    ends: Counter[str] = field(default_factory=Counter)


@dataclass
class Token:
    """A token and all that was done with it."""

    purchase: Purchase
    service: Service
    account: Account = field(default_factory=Account)
    # Estimates of everything that was ever sent, and how much of that is known not to be spent.
    begun: int = 0
    spared: int = 0
    # Units and number of answers that came whole and were to be charged.
    whole: int = 0
    answers: int = 0
    # Units that may have been charged for answers that broke off, and how many these are; once that is known.
    broken: int = 0
    breaks: int = 0


@dataclass(frozen=True)
class Ask:
    """A request under way, with what was known when it was sent."""

    token: Token
    order: Order
    whole_before: int
    spared_before: int

    def most(self) -> int:
        """The highest balance that can be told with its answer: what came whole before it was charged before it."""
        return self.token.service.pack - self.whole_before - self.token.service.charge(self.order)

    def least(self) -> int:
        """The lowest: everything else that was sent until now was set aside in full, less what came back before."""
        service = self.token.service
        return service.pack - (self.token.begun - self.spared_before) + service.estimate - service.charge(self.order)


class Tally:
    """Every token, every answer, everything that was not as it must be."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self.tokens: dict[str, Token] = {}
        self.counts: Counter[str] = Counter()
        self.faults: dict[str, list[str]] = {}
        self._unsettled: list[tuple[Ask, bool]] = []
        self.last_line: dict | None = None

    def fault(self, law: str, evidence: object) -> None:
        """Something that must not be."""
        told = self.faults.setdefault(law, [])
        if len(told) < FAULTS_MAX:
            told.append(str(evidence))
            print(f"  FAILED  {law}: {evidence}", flush=True)

    def bought(self, purchase: Purchase, service: Service) -> Token:
        """A token was paid for."""
        token = Token(purchase, service)
        self.tokens[purchase.payment_hash] = token
        self.counts["packs bought"] += 1
        return token

    def sent(self, token: Token, order: Order) -> Ask:
        """A request is handed to the kernel after this."""
        ask = Ask(token, order, token.whole, token.spared)
        token.begun += token.service.estimate
        return ask

    def head(self, ask: Ask, head: Head) -> None:
        """The head of an answer arrived; its balance must be a possible one even if the rest never comes."""
        if head.status == 402:
            return
        if head.status != ask.order.status:
            self.fault(ANSWERS, f"{head.status} instead of {ask.order.status}: {head.fields}")
            return
        balance, cost = head.get("l402-balance"), head.get("l402-cost")
        charge = ask.token.service.charge(ask.order)
        if balance is None or cost is None:
            # An upstream's failure costs nothing, and then nothing needs to be told.
            if head.status < 500:
                self.fault(BALANCES, f"no balance or cost with {ask.order}: {head.fields}")
            return
        self.counts["balances told"] += 1
        if not ask.least() <= int(balance) <= ask.most() or int(cost) != charge:
            self.fault(
                BALANCES,
                f"{balance} left after {cost} for {ask.order}; between {ask.least()} and {ask.most()} after {charge} "
                f"is possible; token {ask.token.purchase.token_id}",
            )

    def whole(self, ask: Ask, answer: Answer) -> bool:
        """A whole answer arrived; says whether the token is still good for more."""
        token, service = ask.token, ask.token.service
        if answer.head.status == 402:
            return self._refused(ask, answer)
        if answer.body != body_of(ask.order):
            self.fault(ANSWERS, f"{len(answer.body)} bytes that were not ordered, for {ask.order}")
        charge = service.charge(ask.order)
        token.spared += service.estimate - charge
        token.whole += charge
        token.answers += ask.order.status < 500
        self.counts["whole answers"] += 1
        self.counts["units served"] += charge
        return True

    def broke_off(self, ask: Ask, by_kill: bool) -> None:
        """An answer will never be whole: the gateway was killed, or the client left."""
        self._unsettled.append((ask, by_kill))
        self.counts["broken off by a kill" if by_kill else "left by the client"] += 1

    def _refused(self, ask: Ask, answer: Answer) -> bool:
        token, service = ask.token, ask.token.service
        problem = answer.json()
        least = ask.least() + service.charge(ask.order)  # nothing was charged
        if problem["reason"] != "exhausted":
            self.fault(ANSWERS, f"refused as {problem['reason']}: {problem}")
        elif least >= service.estimate or not least <= problem["balance"] < service.estimate:
            self.fault(REFUSALS, f"{problem} with at least {least} left; token {token.purchase.token_id}")
        token.spared += service.estimate
        self.counts["refused as exhausted"] += 1
        return False

    # What the ledger says, while nothing is under way.

    def rest(self) -> None:
        """No request is under way any more; what became of the broken ones can be said."""
        for ask, by_kill in self._unsettled:
            token, number = ask.token, ask.order.number
            # A killed gateway charged what it had the upstream's head of, at most; a living one sees its client leave and
            # may have to charge the estimate for what it sent on.
            if by_kill and number in self._upstream.answered:
                token.broken += token.service.charge(ask.order)
                token.breaks += 1
            elif not by_kill and self._upstream.seen[number]:
                token.broken += token.service.estimate
                token.breaks += 1
        self._unsettled.clear()
        for number, count in self._upstream.seen.items():
            if count > 1:
                self.fault(ONCE, f"request {number} reached the upstream {count} times")

    def read(self, lines: Iterable[dict]) -> None:
        """New lines of the journal."""
        for line in lines:
            before = self.last_line or NO_LINE
            credited = line["credited"] if line["kind"] == "credited" else 0
            sums = before["credited_sum"] + credited, before["debited_sum"] + line["charged"]
            if line["line"] <= before["line"] or (line["credited_sum"], line["debited_sum"]) != sums:
                self.fault(JOURNAL, f"{line} does not follow {before}")
            self.last_line = line
            self._note(line)

    def _note(self, line: dict) -> None:
        token = self.tokens.get(line["account"])
        if token is None or not token.begun:
            self.fault(CREDITS, f"booked for nobody: {line}")
            return
        account = token.account
        if line["kind"] == "credited":
            account.credits.append(line["credited"])
        else:
            account.ends[line["kind"]] += 1
        account.debited += line["charged"]
        if not account.credits:
            self.fault(JOURNAL, f"used before it was booked: {line}")

    def judge(self, audit: dict, may_be_open: bool) -> None:
        """Holds everything that is known against the journal and the audit, of one moment at rest."""
        self.judge_sums(audit)
        if audit["owed"]:
            self.fault(INVARIANTS, f"owed to buyers though nothing was revoked: {audit}")
        if (audit["reserved"] or audit["unfinished"]) and not may_be_open:
            self.fault(OPEN, audit)
        last = self.last_line or NO_LINE
        if (audit["credited"], audit["debited"]) != (last["credited_sum"], last["debited_sum"]):
            self.fault(JOURNAL, f"{audit} with the journal's last line {last}")
        for token in self.tokens.values():
            self._judge_token(token)

    def judge_sums(self, audit: dict) -> None:
        """What holds at every moment, also with requests under way."""
        spread = audit["debited"] + audit["balance"] + audit["reserved"] + audit["owed"]
        if not audit["holds"] or audit["breaches"] or audit["credited"] != spread:
            self.fault(INVARIANTS, audit)

    def _judge_token(self, token: Token) -> None:
        account, name = token.account, f"token {token.purchase.token_id} of {token.service.name}"
        if account.credits not in ([], [token.service.pack]) or (token.whole and not account.credits):
            self.fault(CREDITS, f"{name}: credited {account.credits}")
        settled = account.ends["settled"]
        if account.debited < token.whole or settled < token.answers:
            served = f"{token.whole} units in {token.answers} whole answers"
            self.fault(SERVED, f"{name}: {served}; charged {account.debited} in {settled}")
        if account.debited > token.whole + token.broken or settled > token.answers + token.breaks:
            self.fault(
                CHARGED,
                f"{name}: charged {account.debited} in {settled} for {token.whole} units in {token.answers} whole answers "
                f"and at most {token.broken} in {token.breaks} that broke off",
            )

    def judge_balance(self, token: Token, said: dict | None) -> None:
        """Holds `octroi ledger balance` against the journal, once nothing is open."""
        expected = (token.service.pack, token.account.debited) if token.account.credits else None
        got = said and (said["credited"], said["debited"])
        if got != expected:
            self.fault(BALANCE, f"token {token.purchase.token_id}: {said}, the journal says {expected}")
        elif said and (said["balance"] + said["debited"] != said["credited"] or said["reserved"] or said["unfinished"]):
            self.fault(BALANCE, f"token {token.purchase.token_id}: {said}")


ANSWERS = "every answer is the upstream's, whole and unchanged, or says that the units ran out"
BALANCES = "every balance that was told is one that the token can have had"
REFUSALS = "nobody is refused who has enough"
ONCE = "no request reached the upstream twice"
INVARIANTS = "credited = debited + balance + reserved + owed, and every other invariant"
OPEN = "nothing that a dead gateway left open stays open longer than it may"
JOURNAL = "the journal only grows, and its sums are those of the accounts"
CREDITS = "every pack that was paid for and used is credited once, and nothing else"
SERVED = "nothing was served beyond what was charged"
CHARGED = "nothing was charged for nothing"
BALANCE = "balance + debited = credited for every token"
ALIVE = "connections break only when the gateway is killed"

LAWS = (INVARIANTS, CREDITS, SERVED, CHARGED, BALANCES, BALANCE, REFUSALS, JOURNAL, OPEN, ANSWERS, ONCE, ALIVE)
