"""Sockets: what listens, by the kernel's own tables (/proc/net/tcp and tcp6)."""

import ipaddress
import struct

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTEN = "0A"
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def listening(tables: str) -> set[tuple[Address, int]]:
    """The addresses and ports in the text of these tables, as `ss -ltn` shows them."""
    rows = [row.split() for row in tables.splitlines() if row.strip()[:1].isdigit()]
    return {_address(row[1]) for row in rows if row[3] == LISTEN}


def _address(text: str) -> tuple[Address, int]:
    host, port = text.split(":")
    packed = struct.pack(f"={len(host) // 8}I", *(int(w, 16) for w in _words(host)))
    address = ipaddress.ip_address(packed)
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address, int(port, 16)


def _words(text: str) -> list[str]:
    return [text[at : at + 8] for at in range(0, len(text), 8)]
