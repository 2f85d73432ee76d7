"""Addresses without what must not be kept: passwords, tokens, and paths of somebody's home."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

_SCP_LIKE = re.compile(r"(?P<user>[^/:@\s]+@)?(?P<host>[\w.-]+):(?P<path>(?!//).*)")


def scrubbed(address: str) -> str:
    """*address* of a repository or package without credentials, query and fragment.

    A user name stays where it is needed to connect and secret to nobody (``git@host:path``, ``ssh://git@host``).
    Of a path on this machine only the last part is kept: the rest names people and machines.
    """
    parts = urlsplit(address)
    if parts.scheme and parts.netloc and parts.scheme != "file":
        userinfo, _, host = parts.netloc.rpartition("@")
        user = userinfo.partition(":")[0]
        keeps_user = bool(user) and parts.scheme.endswith("ssh")
        return urlunsplit((parts.scheme, f"{user}@{host}" if keeps_user else host, parts.path, "", ""))
    if parts.scheme != "file" and (match := _SCP_LIKE.fullmatch(address)):
        return f"{match['user'] or ''}{match['host']}:{match['path']}"
    return f"…/{PurePosixPath(parts.path).name}"
