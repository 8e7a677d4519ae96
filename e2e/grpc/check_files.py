"""nginx serving files behind the gateway, with a configuration of twelve lines."""

import hashlib
import random
import urllib.error
import urllib.request

from stage.challenge import Challenge
from stage.checks import Checks
from stage.gateway import ROOT, Gateway
from stage.nginx import Nginx
from stage.wallet import Wallet

WORK = ROOT / "e2e" / ".work" / "files"
SERVICES = """\
  - name: files
    path: /files/
    upstream: {url}
    price: 10 sat
    valid_for: 1h
"""
TEXT = "/files/report.txt"
LARGE = "/files/large.bin"
LARGE_BYTES = 64 * 1024 * 1024
CHUNK_BYTES = 1024 * 1024
TIMEOUT_SECS = 30


def check_files(checks: Checks) -> None:
    """Buys once and uses the token for all that a file server is asked for."""
    nginx = Nginx(WORK / "nginx", [TEXT])
    try:
        large_sha256 = write_large()
        gateway = Gateway(SERVICES.format(url=nginx.url), WORK)
        try:
            checks.check("the configuration has twelve lines", len(gateway.config.read_text().splitlines()) <= 12)
            status, headers, _ = ask(gateway.url + TEXT)
            checks.equal("unpaid: 402", status, 402)
            challenge = Challenge.read(headers.get_all("www-authenticate"))
            preimage = Wallet(gateway.wallet_url).pay(challenge.invoice)
            checks.equal("nginx saw nothing of it", nginx.seen(TEXT), [])
            paid = {"authorization": f"L402 {challenge.macaroon}:{preimage}"}
            check_requests(checks, gateway, nginx, paid)
            checks.equal("64 MiB arrive whole", sha256_of(gateway.url + LARGE, paid), large_sha256)
            seen = nginx.seen(TEXT, at_least=5) + nginx.seen(LARGE, at_least=1)
            checks.equal("nginx saw the paid requests", len(seen), 6)
            checks.check("never the credential", not any(request.carries_credential() for request in seen), seen)
        finally:
            code = gateway.stop()
    finally:
        nginx.stop()
    checks.equal("SIGTERM ends the gateway with 0", code, 0)


def check_requests(checks: Checks, gateway: Gateway, nginx: Nginx, paid: dict[str, str]) -> None:
    """Whole, in part, unchanged, head only, missing."""
    body = nginx.body(TEXT)
    status, headers, got = ask(gateway.url + TEXT, paid)
    checks.equal("paid: the file", (status, got), (200, body))
    checks.check("its ETag passes", headers["etag"], headers.items())
    etag = headers["etag"]
    status, headers, got = ask(gateway.url + TEXT, paid | {"range": "bytes=100-199"})
    checks.equal("a range: 206", (status, got), (206, body[100:200]))
    checks.equal("with its place", headers["content-range"], f"bytes 100-199/{len(body)}")
    status, _, got = ask(gateway.url + TEXT, paid | {"if-none-match": etag})
    checks.equal("unchanged: 304 without a body", (status, got), (304, b""))
    status, headers, got = ask(gateway.url + TEXT, paid, method="HEAD")
    told = (status, headers["content-length"], got)
    checks.equal("HEAD: the length without a body", told, (200, str(len(body)), b""))
    status, headers, got = ask(gateway.url + TEXT, paid | {"range": f"bytes={len(body)}-"})
    checks.equal("a range beyond the end: 416", status, 416)
    checks.equal("a missing file: nginx's 404", ask(gateway.url + "/files/none", paid)[0], 404)


def ask(url: str, headers: dict[str, str] | None = None, method: str = "GET"):
    """Status, headers and body, whatever the status is."""
    request = urllib.request.Request(url, headers=headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECS) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers, answer.read()


def sha256_of(url: str, headers: dict[str, str]) -> str:
    """The hash of a body that is read as it comes."""
    digest = hashlib.sha256()
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_SECS) as answer:
        while chunk := answer.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def write_large() -> str:
    """Puts the large file where nginx finds it; its hash."""
    source = random.Random(402)
    digest = hashlib.sha256()
    with (WORK / "nginx" / "root" / LARGE.lstrip("/")).open("wb") as file:
        for _ in range(LARGE_BYTES // CHUNK_BYTES):
            chunk = source.randbytes(CHUNK_BYTES)
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()
