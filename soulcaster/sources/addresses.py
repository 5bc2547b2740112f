"""Where a polled address may lead: only over http(s), only to hosts of the public internet unless that is switched off.

The address is resolved once and the request goes to what was found, so that a second answer of the name's server cannot
lead it elsewhere (DNS rebinding). Source of the list: OWASP, 'Server-Side Request Forgery Prevention'.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Any, NamedTuple

import httpx

from soulcaster.errors import PermanentError, TransientError

_EMBEDDING = tuple(ipaddress.ip_network(each) for each in ("64:ff9b::/96", "2002::/16", "2001::/32"))
"""IPv6 addresses that carry an IPv4 address inside, which a gateway may take out again."""


class Pinned(NamedTuple):
    """A request that goes to one resolved address: for `httpx.Client.stream`."""

    url: httpx.URL
    headers: dict[str, str]
    extensions: dict[str, Any]


def pin(url: httpx.URL, *, allow_private: bool) -> Pinned:
    """The request for `url`, bound to an address of its host that was looked at.

    Raises:
        PermanentError: not http(s), a user in the address, no host, or an address that is not of the public internet.
        TransientError: the host's name could not be resolved.
    """
    shown = f"{url.scheme}://{url.host}"[:200]
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise PermanentError(f"Polling {shown!r} was refused: expected http(s)://host/..., without a user in it.")
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise TransientError(f"Polling {shown!r} failed: its name could not be resolved; it is tried again.") from error
    addresses = [str(entry[4][0]) for entry in found]
    refused = [address for address in addresses if not (allow_private or is_public(address))]
    if refused or not addresses:
        raise PermanentError(
            f"Polling {shown!r} was refused: it leads to {', '.join(refused) or 'nowhere'}, expected an address of the "
            "public internet; set SOULCASTER_POLL_PRIVATE_ADDRESSES=true if that is meant."
        )
    host = url.netloc.decode("ascii")
    extensions = {"sni_hostname": url.raw_host.decode("ascii")} if url.scheme == "https" else {}
    return Pinned(url.copy_with(host=addresses[0]), {"Host": host}, extensions)


def is_public(address: str) -> bool:
    """Whether this IP address is one of the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in network for network in _EMBEDDING):
            return False
    return ip.is_global and not ip.is_multicast
