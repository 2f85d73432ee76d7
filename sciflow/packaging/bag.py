"""The tag files that make a folder a bag: BagIt 1.0, RFC 8493."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sciflow.packaging import layout
from sciflow.packaging.archive import manifest_of

if TYPE_CHECKING:
    from collections.abc import Mapping

DECLARATION: Final = b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"


def payload(names: Mapping[str, object]) -> list[str]:
    """Those names that stand for payload, in order."""
    return sorted(name for name in names if name.startswith(layout.PAYLOAD))


def manifests(digests: Mapping[str, str], sizes: Mapping[str, int], facts: Mapping[str, str]) -> dict[str, bytes]:
    """The tag files of BagIt but the last, `tag_manifest`.

    Parameters
    ----------
    digests, sizes : of every file of the payload at least
    facts : further lines of ``bag-info.txt``
    """
    names = payload(digests)
    info = {
        "Bag-Software-Agent": "sciflow",
        **facts,
        "Payload-Oxum": f"{sum(sizes[name] for name in names)}.{len(names)}",
    }
    lines = "".join(f"{key}: {' '.join(value.split())}\n" for key, value in sorted(info.items()))
    return {
        layout.BAGIT: DECLARATION,
        layout.BAG_INFO: lines.encode(),
        layout.MANIFEST: manifest_of({name: digests[name] for name in names}),
    }


def tag_manifest(digests: Mapping[str, str]) -> bytes:
    """The digests of all tag files, the manifest of the payload among them."""
    return manifest_of({name: one for name, one in digests.items() if not name.startswith(layout.PAYLOAD)})
