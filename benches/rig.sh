# Shared by the scripts in this folder: tools, ports, processes, one upstream, and medians. To be sourced.
#
# Everything runs on loopback and keeps its files in benches/.work; every process started here is ended here.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repo=$(cd "$here/.." && pwd)
work="$here/.work"
mkdir -p "$work"
started=()

need() { # program, Debian package
    command -v "$1" >/dev/null || {
        echo "installing $2" >&2
        apt-get install -y -qq --no-install-recommends "$2" >/dev/null 2>&1 ||
            { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$2" >/dev/null; }
    }
}

end_all() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
}
trap end_all EXIT

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

start() { # log file, command...
    local log=$1
    shift
    "$@" >"$log" 2>&1 &
    started+=($!)
}

await() { # url; any answer will do
    for _ in $(seq 200); do
        curl -s -o /dev/null "$1" && return
        sleep 0.05
    done
    echo "nothing answers at $1" >&2
    exit 1
}

# The upstream of all benchmarks: HAProxy answering 1 KiB from memory with two threads.
start_upstream() {
    need haproxy haproxy
    upstream_port=$(free_port)
    head -c 1024 /dev/zero | tr '\0' 'x' >"$work/body"
    cat >"$work/haproxy.cfg" <<CFG
global
    nbthread 2
    maxconn 4096
defaults
    mode http
    timeout client 60s
    timeout server 60s
    timeout connect 5s
frontend upstream
    bind 127.0.0.1:$upstream_port
    http-request return status 200 content-type text/plain file $work/body
CFG
    start "$work/haproxy.log" haproxy -db -f "$work/haproxy.cfg"
    await "http://127.0.0.1:$upstream_port/"
}

# nginx with two workers and keep-alive to the upstream, the peer of the proxy benchmarks.
start_nginx() {
    need nginx nginx
nginx_port=$(free_port)
cat >"$work/nginx.conf" <<CFG
worker_processes 2;
daemon off;
pid $work/nginx.pid;
error_log $work/nginx-error.log;
events { worker_connections 4096; }
http {
    access_log off;
    keepalive_requests 1000000;
    client_body_temp_path $work/n1; proxy_temp_path $work/n2; fastcgi_temp_path $work/n3;
    uwsgi_temp_path $work/n4; scgi_temp_path $work/n5;
    upstream bare { server 127.0.0.1:$upstream_port; keepalive 256; keepalive_requests 1000000; }
    server {
        listen 127.0.0.1:$nginx_port reuseport;
        location / { proxy_pass http://bare; proxy_http_version 1.1; proxy_set_header Connection ""; }
    }
}
CFG
start "$work/nginx.log" nginx -c "$work/nginx.conf"
await "http://127.0.0.1:$nginx_port/"
}

build_octroi() {
    (cd "$repo" && cargo build --release -q -p octroi)
    octroi="$repo/target/release/octroi"
}

rate() { # seconds, url, wrk options...: requests per second
    local secs=$1 url=$2
    shift 2
    local out
    out=$(wrk -t2 -c64 -d"${secs}s" "$@" "$url")
    if [ -z "${ANY_STATUS:-}" ] && grep -q 'Non-2xx' <<<"$out"; then
        echo "$url answered with errors:" >&2
        echo "$out" >&2
        exit 1
    fi
    sed -n 's/^Requests\/sec: *//p' <<<"$out"
}

median() { sort -n | awk '{ v[NR] = $1 } END { print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
spread() { sort -n | awk '{ v[NR] = $1 } END { printf "%.0f..%.0f", v[1], v[NR] }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.3f", a / b }'; }
rss_kib() { awk '/^VmRSS/ { print $2 }' "/proc/$1/status"; }

# Buys one token at URL through the loopback wallet; prints the Authorization value.
buy() { # url, wallet url
    python3 - "$1" "$2" <<'PY'
import base64, json, re, sys, urllib.error, urllib.request
url, wallet = sys.argv[1:]
try:
    urllib.request.urlopen(url)
    sys.exit("not a paid address")
except urllib.error.HTTPError as refused:
    lines = " ".join(refused.headers.get_all("WWW-Authenticate"))
macaroon, invoice = re.search(r'L402 macaroon="(.*?)", invoice="(.*?)"', lines).groups()
ask = json.dumps({"payment_request": invoice}).encode()
paid = json.load(urllib.request.urlopen(wallet + "/v1/channels/transactions", ask))
print(f"L402 {macaroon}:{base64.b64decode(paid['payment_preimage']).hex()}")
PY
}
