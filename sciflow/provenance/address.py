"""Addresses without what must not be kept: passwords, tokens, and paths of somebody's home."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

_HELPER = re.compile(r"(?P<helper>\w[\w-]*)::(?P<address>.*)", re.DOTALL)  # gitremote-helpers(7)
_SCP_LIKE = re.compile(r"(?P<user>[^/:@\s]+@)?(?P<host>[\w.-]+):(?P<path>(?!//).*)")


def scrubbed(address: str) -> str:
    """*address* of a repository or package without credentials, query and fragment.

    A user name stays where it is needed to connect and secret to nobody (``git@host:path``, ``ssh://git@host``).
    Of a path on this machine only the last part is kept: the rest names people and machines.
    """
    if match := _HELPER.fullmatch(address):
        is_command = match["helper"] in {"ext", "fd"}
        return f"{match['helper']}::{'…' if is_command else scrubbed(match['address'])}"
    try:
        parts = urlsplit(address)
    except ValueError:  # not an address that a library could read, whatever reads it
        return "…"
    if parts.scheme and parts.netloc and parts.scheme != "file":
        userinfo, _, host = parts.netloc.rpartition("@")
        user = userinfo.partition(":")[0]
        keeps_user = bool(user) and parts.scheme.endswith("ssh")
        return urlunsplit((parts.scheme, f"{user}@{host}" if keeps_user else host, parts.path, "", ""))
    if parts.scheme != "file" and (match := _SCP_LIKE.fullmatch(address)):
        if "@" in match["path"].partition("/")[0]:  # user:password@host:path
            return "…"
        return f"{match['user'] or ''}{match['host']}:{match['path']}"
    return f"…/{PurePosixPath(parts.path).name}"
