"""The configuration of an HAProxy before both sites: complete, for `haproxy -f`.

What it must not do decides its form: SigV4 signs the method, the path and query as they were
sent, and the Host header, so nothing of them is touched, normalised or added to. Written for
HAProxy 2.6 and later; names of keywords are those of its configuration manual.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from farshore.errors import UsageError
from farshore.switch.haproxy_door import SITE_HEADER
from farshore.switch.haproxy_map import ACTIVE, FROZEN_UNTIL, RETRY_AFTER_MS

LISTEN = "0.0.0.0:9000"
SOCKET = "/run/haproxy/farshore.sock"
MAP = "/etc/haproxy/farshore.map"
RETRY_AFTER_MS_USUAL = 5000
HOLD_S = 2.0
"""How long a frozen write is held before its 503. boto3's older default retries wait
rand(0..1) * 1, 2, 4 and 8 s, whatever a header says, so five answers given at once may be over
before a short freeze is; held for 2 s each, they last for 8 s at least."""

SYSTEM_CA = "@system-ca"

AWS = ".amazonaws.com"

_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{}</Code><Message>{}</Message></Error>'
_FROZEN = _ERROR.format("SlowDown", "Writes wait for a moment: try again.")
_DOWN = _ERROR.format("ServiceUnavailable", "The site cannot be reached: try again.")
_NO_SITE = _ERROR.format("ServiceUnavailable", "The map of this proxy names no site.")
_XML = "content-type application/xml"


@dataclass(frozen=True, slots=True)
class BackSite:
    """One site behind the door. `ca_file`: None is the system's own."""

    name: str
    endpoint: str
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """What the configuration depends on. `listen` is HOST:PORT; `certificate` "" is plain HTTP,
    else a PEM file with certificate and key. `socket` is a path or HOST:PORT.
    `user`: whom HAProxy becomes after it has started as root; "" stays who it is.
    `hold_s`: how long a frozen write is held before it is told to try again."""

    sites: tuple[BackSite, BackSite]
    listen: str = LISTEN
    certificate: str = ""
    socket: str = SOCKET
    map_path: str = MAP
    user: str = ""
    hold_s: float = HOLD_S


def map_text(active: str) -> str:
    """A map file that sends clients to `active`, and freezes nothing."""
    return f"{ACTIVE} {active}\n{FROZEN_UNTIL} 0\n{RETRY_AFTER_MS} {RETRY_AFTER_MS_USUAL}\n"


def render(door: FrontDoor) -> str:
    """The configuration's text. `UsageError` for words that HAProxy could not read, and for
    sites that cannot stand behind a proxy."""
    _refuse_odd_words(door)
    _refuse_aws(door.sites)
    parts = [_head(door), _global(door), _DEFAULTS]
    if not all(_is_ip(urlsplit(site.endpoint).hostname or "") for site in door.sites):
        parts.append(_RESOLVERS)
    parts += [_frontend(door), _NOWHERE]
    for site in door.sites:
        parts += [_backend(site, "r"), _backend(site, "w")]
    return "\n".join(parts)


def _refuse_odd_words(door: FrontDoor) -> None:
    words = (door.listen, door.certificate, door.socket, door.map_path, door.user)
    for word in (*words, *(str(site.ca_file or "") for site in door.sites)):
        if not word.isprintable() or set(word) & set(" \"'\\#,$%"):
            raise UsageError(
                f"{word!r} cannot stand in a configuration of HAProxy",
                hint="use a path or an address without spaces, quotes and commas",
            )
    for what, address in (("--listen", door.listen), ("--socket", door.socket)):
        if not address.startswith("/") and not _is_address(address):
            raise UsageError(f"{what} {address!r} is not HOST:PORT")


def _refuse_aws(sites: tuple[BackSite, BackSite]) -> None:
    for site in sites:
        if (urlsplit(site.endpoint).hostname or "").endswith(AWS):
            raise UsageError(
                f"{site.name} is AWS S3, which takes no requests that were signed for another "
                "host's name: it cannot stand behind a proxy",
                hint='send clients there with a driver of kind "file", "ssm" or "http" instead',
            )


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(f"//{text}")
        return parts.port is not None and text.endswith(f":{parts.port}")
    except ValueError:
        return False


def _head(door: FrontDoor) -> str:
    source = door.sites[0].name
    lines = "".join(f"#   {line}\n" for line in map_text(source).splitlines())
    return (
        "# HAProxy before two S3 sites; written by `farshore export haproxy`.\n"
        f"# Before the first start, {door.map_path} must hold, with the site that is active:\n"
        f"{lines}"
        "# farshore must be able to write to that file's folder and to the socket; its own file:\n"
        "#   [[switch.drivers]]\n"
        '#   kind = "haproxy"\n'
        f'#   proxies = [{{ socket = "{door.socket}", map = "{door.map_path}" }}]\n'
        "# Both sites need the application's same keys and buckets of the same names.\n"
        "# After a reload the process before lives on until its requests have ended; writes in\n"
        "# flight there are not counted. Do not reload during a flip.\n"
    )


def _global(door: FrontDoor) -> str:
    at = door.socket if door.socket.startswith("/") else f"ipv4@{door.socket}"
    if door.socket.startswith("["):
        at = f"ipv6@{door.socket}"
    mode = " mode 660" if door.socket.startswith("/") else ""
    user = f"    user {door.user}\n" if door.user else ""
    return (
        "global\n"
        f"    stats socket {at}{mode} level admin expose-fd listeners\n"
        f"{user}"
        "    # names of 1,024 bytes, escaped, and metadata, in one head\n"
        "    tune.bufsize 32768\n"
        "    hard-stop-after 10m\n"
        "    ssl-default-bind-options ssl-min-ver TLSv1.2\n"
    )


_DEFAULTS = f"""\
defaults
    mode http
    option http-keep-alive
    timeout connect 5s
    timeout http-request 30s
    timeout http-keep-alive 60s
    timeout queue 30s
    # silence, not duration: large objects take as long as they take
    timeout client 5m
    timeout server 5m
    http-error status 502 {_XML} string '{_DOWN}'
    http-error status 503 {_XML} hdr x-amz-retry-after 1000 string '{_DOWN}'
    http-error status 504 {_XML} string '{_DOWN}'
"""

_RESOLVERS = """\
# a name that cannot be resolved keeps no proxy from starting, and no address is kept for ever
resolvers system
    parse-resolv-conf
    hold valid 10s
"""

_NOWHERE = f"""\
backend nowhere
    http-request return status 503 {_XML} hdr x-amz-retry-after 1000 string '{_NO_SITE}'
"""


def _frontend(door: FrontDoor) -> str:
    tls = f" ssl crt {door.certificate} alpn http/1.1" if door.certificate else ""
    in_map = f"map({door.map_path},{{}})"
    after = f"str({RETRY_AFTER_MS}),{in_map.format(RETRY_AFTER_MS_USUAL)}"
    wait = f'hdr x-amz-retry-after "%[{after}]"'
    return f"""\
frontend s3
    bind {door.listen}{tls}
    timeout tarpit {round(door.hold_s * 1000)}ms
    http-request set-var(txn.site) str({ACTIVE}),{in_map.format("nowhere")}
    http-request set-var(txn.until) str({FROZEN_UNTIL}),{in_map.format("0")},add(0)
    # S3 Select is a POST that reads; every other POST writes, and so may what is unknown
    http-request set-var(txn.kind) str(w)
    http-request set-var(txn.kind) str(r) if {{ method GET HEAD OPTIONS }}
    http-request set-var(txn.kind) str(r) if METH_POST {{ query -m beg select&select-type= }}
    # writes wait, reads go on. Held first: many SDKs try again too soon, and then no more
    acl frozen date(0,ms),sub(txn.until) -m int lt 0
    acl writes var(txn.kind) -m str w
    http-request tarpit status 503 {_XML} {wait} string '{_FROZEN}' if frozen writes
    use_backend %[var(txn.site)]-%[var(txn.kind)]
    default_backend nowhere
"""


def _backend(site: BackSite, kind: str) -> str:
    parts = urlsplit(site.endpoint)
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    host = parts.hostname or ""
    words = [f"server {site.name} {f'[{host}]' if ':' in host else host}:{port}"]
    words += _verified(host, site.ca_file) if tls else []
    words += [] if _is_ip(host) else ["resolvers system init-addr last,libc,none"]
    words.append("check inter 2s fastinter 500ms downinter 1s fall 3 rise 2")
    return f"""\
backend {site.name}-{kind}
    http-after-response set-header {SITE_HEADER} {site.name}
    # a site that answers at all is up: without keys it says 403
    option httpchk
    http-check send meth GET uri / ver HTTP/1.1 hdr host {parts.netloc}
    http-check expect rstatus ^[1-4]
    {" ".join(words)}
"""


def _verified(host: str, ca_file: Path | None) -> list[str]:
    """TLS to a site. HAProxy compares names, and no IP addresses, with a certificate's."""
    named = [] if _is_ip(host) else [f"sni str({host}) verifyhost {host} check-sni {host}"]
    return ["ssl", "verify required", f"ca-file {ca_file or SYSTEM_CA}", *named]


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
