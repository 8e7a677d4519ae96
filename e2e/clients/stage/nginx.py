"""nginx serving files, as something real behind the gateway. Needs nginx on the machine."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from .upstream import Seen, body_of

READY_SECS = 10
LOG_SECS = 5
# Another process may take the port that was chosen; then another one is chosen.
TRIES = 5

CONFIG = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    log_format seen '$request_method\\t$request_uri\\t$http_authorization$http_macaroon$http_grpc_metadata_macaroon';
    access_log {folder}/access.log seen;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    default_type "text/plain; charset=utf-8";
    server {{
        listen 127.0.0.1:{port};
        root {folder}/root;
    }}
}}
"""


class NginxMissing(Exception):
    """No nginx on this machine."""


class Nginx:
    """Serves the files at `paths` on a free loopback port, from construction until `stop`."""

    def __init__(self, folder: Path, paths: list[str]) -> None:
        program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise NginxMissing("this test needs nginx: apt-get install nginx-light")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._folder = folder
        for path in paths:
            file = folder / "root" / path.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body_of(path))
        # The worker has to read below `folder`, which may lie in a place that is closed to others.
        user = "user root;" if os.geteuid() == 0 else ""
        for _ in range(TRIES):
            self.port = self._free_port()
            self.url = f"http://127.0.0.1:{self.port}"
            (folder / "nginx.conf").write_text(CONFIG.format(user=user, folder=folder, port=self.port))
            self._process = subprocess.Popen(
                [program, "-p", str(folder), "-c", str(folder / "nginx.conf")],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if self._is_ready():
                return
            self.stop()
        raise NginxMissing(f"nginx did not start, see {folder}/error.log")

    def seen(self, path: str, at_least: int = 0) -> list[Seen]:
        """The requests for a path so far. nginx logs a request after its answer: waits a moment for `at_least`."""
        deadline = time.monotonic() + LOG_SECS
        while len(seen := self._logged(path)) < at_least and time.monotonic() < deadline:
            time.sleep(0.02)
        return seen

    def body(self, path: str) -> bytes:
        """What a request for this path is answered with."""
        return body_of(path)

    def stop(self) -> None:
        """Ends nginx and its worker."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        self._process.wait(READY_SECS)

    def _logged(self, path: str) -> list[Seen]:
        seen = []
        for line in (self._folder / "access.log").read_text().splitlines():
            method, target, credential = line.split("\t")
            headers = (("authorization", credential),) if credential.strip("-") else ()
            seen.append(Seen(method, target, headers))
        return [request for request in seen if request.path == path]

    def _free_port(self) -> int:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    def _is_ready(self) -> bool:
        """nginx writes its pid file when it listens."""
        deadline = time.monotonic() + READY_SECS
        while time.monotonic() < deadline and self._process.poll() is None:
            if (self._folder / "nginx.pid").is_file():
                return True
            time.sleep(0.02)
        return False
