"""Which names of hosts mean this machine, and which one a request was sent to.

A page of another site may come to be served from a name that suddenly means this machine (DNS rebinding).
The browser then lets that site read what it finds here, but it says the name.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a name or an address always means this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def asked_host(header: str) -> str:
    """Give the name or address in a Host header, without the port; nothing if it cannot be read."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""
