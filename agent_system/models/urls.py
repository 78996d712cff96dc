"""How links are compared: addresses that lead to the same page are one address.

What is done to an address follows RFC 3986, section 6.2 (case, percent-encoding, dot segments, default ports), Unicode
TS 46 (names of hosts in other scripts), and the habit of the trade: parameters that only tell who sent the reader, the
fragment and the last slash do not make another page.
"""

import hashlib
import re
from ipaddress import IPv6Address
from typing import Any, NoReturn
from urllib.parse import SplitResult, quote, unquote, urlsplit

import idna
from sqlalchemy import event

from agent_system.errors import ValidationError

__all__ = ["LONGEST_URL", "keep_url", "normalise_url", "url_domain", "url_hash", "without_credentials"]

# RFC 9110, section 4.1, asks programs to take 8,000 at least.
LONGEST_URL = 8_000
DEFAULT_PORTS = {"http": 80, "https": 443}
# RFC 1035, section 2.3.4, without the dot at the end.
LONGEST_HOST = 253

# Parameters of the well-known analytics, advertising and mailing programs.
TRACKING = frozenset(
    {
        "_ga", "_gl", "_hsenc", "_hsmi", "dclid", "fb_action_ids", "fb_action_types", "fb_source", "fbclid",
        "gad_source", "gbraid", "gclid", "gclsrc", "igsh", "igshid", "li_fat_id", "mc_cid", "mc_eid", "mkt_tok",
        "msclkid", "oly_anon_id", "oly_enc_id", "pk_campaign", "pk_cid", "pk_content", "pk_keyword", "pk_kwd",
        "pk_medium", "pk_source", "ref_src", "ref_url", "srsltid", "ttclid", "twclid", "vero_conv", "vero_id",
        "wbraid", "wickedid", "wt_mc", "yclid", "ysclid",
    }
)  # fmt: skip
TRACKING_PREFIXES = ("utm_", "mtm_", "hsa_")

_BLANK = re.compile(r"[\s\x00-\x1f\x7f]")
_LABELS = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
# What stands in a path and in a query as it is (RFC 3986, section 3.3 and 3.4), and what browsers leave alone in one.
_IN_PATH = "/:@!$&'()*+,;=-._~%"
_IN_QUERY = _IN_PATH + "?[]|"


def normalise_url(url: str) -> str:
    """Return the one spelling, in ASCII, of all addresses that lead to the same page.

    Raises:
        ValidationError: It is no address of the web, or longer than `LONGEST_URL` characters in ASCII.
    """
    parts = _split(url)
    scheme = parts.scheme.lower()
    host = _host(parts)
    port = _port(parts)
    where = host if port is None or port == DEFAULT_PORTS[scheme] else f"{host}:{port}"
    try:
        path, query = _path(parts.path), _query(parts.query)
    except UnicodeEncodeError as exc:
        _refuse("has characters that no address can have", exc)
    normal = f"{scheme}://{where}{path}?{query}" if query else f"{scheme}://{where}{path}"
    _check_length(normal)
    return normal


def url_domain(url: str) -> str:
    """Return the host of a normalised address as people write it: in its own script, without `www.` and port."""
    host = urlsplit(url).hostname or ""
    name = ".".join(_readable(label) for label in host.split("."))
    bare = name.removeprefix("www.")
    return bare if "." in bare else name


def url_hash(url: str) -> str:
    """Return what a normalised address is looked up by: no unique index of PostgreSQL holds 8,000 characters."""
    return hashlib.sha256(url.encode()).hexdigest()


def without_credentials(url: str) -> str:
    """Return the address as it was written, but for spaces around it and for a user name and a password in it."""
    text = url.strip()
    place = urlsplit(text).netloc
    return text.replace(place, place.rpartition("@")[2], 1) if "@" in place else text


def keep_url(entity: Any) -> None:
    """Let a session do what the manager does whenever an address is written."""

    def keep(_mapper: Any, _connection: Any, row: Any) -> None:
        url = normalise_url(row.url)
        if row.original_url is None:
            row.original_url = without_credentials(row.url)
        if row.url != url or row.url_hash != url_hash(url):
            row.url, row.url_hash, row.domain = url, url_hash(url), url_domain(url)

    event.listen(entity, "before_insert", keep)
    event.listen(entity, "before_update", keep)


def _refuse(rule: str, cause: Exception | None = None) -> NoReturn:
    message = f"links.url {rule}"
    raise ValidationError(message, field="url", entity="Link") from cause


def _check_length(url: str) -> None:
    if len(url) > LONGEST_URL:
        _refuse(f"has {len(url)} characters; at most {LONGEST_URL} are kept")


def _split(url: str) -> SplitResult:
    text = url.strip()
    if not text:
        _refuse("is empty")
    _check_length(text)
    if _BLANK.search(text):
        _refuse("has white space in it")
    try:
        parts = urlsplit(text)
    except ValueError as exc:
        _refuse(f"is no address: {exc}", exc)
    if parts.scheme.lower() not in DEFAULT_PORTS:
        _refuse("has to begin with http:// or https://")
    return parts


def _port(parts: SplitResult) -> int | None:
    try:
        return parts.port
    except ValueError as exc:
        _refuse("has a port that does not exist", exc)


def _host(parts: SplitResult) -> str:
    name = unquote(parts.hostname or "").rstrip(".")
    if ":" in name:
        try:
            return f"[{IPv6Address(name).compressed}]"
        except ValueError as exc:
            _refuse("has a host that is no IPv6 address", exc)
    if not name.isascii():
        name = _in_ascii(name)
    name = name.lower()
    if len(name) > LONGEST_HOST or not _LABELS.fullmatch(name):
        _refuse("has no host that could exist")
    return name


def _in_ascii(name: str) -> str:
    try:
        labels = idna.uts46_remap(name, std3_rules=False, transitional=False).split(".")
        return ".".join(_label(label) for label in labels)
    except (idna.IDNAError, UnicodeError) as exc:
        _refuse("has a host with characters that no name has", exc)


def _label(label: str) -> str:
    if label.isascii():
        return label
    try:
        return idna.alabel(label).decode()
    except idna.IDNAError:
        # IDNA 2008 knows no symbols; registries and browsers do, as in i❤.ws.
        return f"xn--{label.encode('punycode').decode()}"


def _readable(label: str) -> str:
    if not label.startswith("xn--"):
        return label
    try:
        name = label.removeprefix("xn--").encode().decode("punycode")
    except UnicodeError:
        return label
    return name if name.isprintable() else label


def _escaped(text: str, allowed: str) -> str:
    """Percent-encode what has to be, decode what need not be, and write the digits of escapes in capitals."""

    def rewrite(match: re.Match[str]) -> str:
        digits = match[1]
        if digits is None:
            return "%25"
        character = chr(int(digits, 16))
        return character if character in _UNRESERVED else f"%{digits.upper()}"

    return quote(_ESCAPE.sub(rewrite, text), safe=allowed)


def _path(path: str) -> str:
    """The path without dot segments (RFC 3986, section 5.2.4) and without a slash at its end."""
    segments: list[str] = []
    for segment in _escaped(path, _IN_PATH).split("/")[1:]:
        if segment == "..":
            del segments[-1:]
        elif segment != ".":
            segments.append(segment)
    return f"/{'/'.join(segments).rstrip('/')}"


def _query(query: str) -> str:
    kept = (part for part in query.split("&") if part and not _only_tracks(part))
    return _escaped("&".join(kept), _IN_QUERY)


def _only_tracks(parameter: str) -> bool:
    name = unquote(parameter.partition("=")[0]).lower()
    return name in TRACKING or name.startswith(TRACKING_PREFIXES)
