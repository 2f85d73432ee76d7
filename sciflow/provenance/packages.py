"""Installed packages: their versions, and where those came from that were not installed from an index."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote, urlsplit

from sciflow.provenance.address import scrubbed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from importlib.metadata import Distribution

_PATIENCE_S: Final = 10
_LOOK_ONLY: Final = {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}  # looking at a repository must not write its index
_BUILT_BY_CONDA = re.compile(r"/(conda-bld|croot|feedstock_root|home/conda)/")


@dataclass(frozen=True, slots=True)
class Installed:
    """The packages that a process can import.

    Attributes
    ----------
    versions
        By name; of two packages of one name, that of the one that an import would find.
    origins
        Name to where it came from, for those that came from no index; see `read_origin`.
    folders
        Where they are installed.
    """

    versions: Mapping[str, str]
    origins: Mapping[str, Any]
    folders: tuple[str, ...]


def read_installed(distributions: Iterable[Distribution]) -> Installed:
    """Versions and origins of installed packages."""
    found: dict[str, tuple[str, str, Distribution]] = {}
    leftovers: dict[str, tuple[str, str, Distribution]] = {}
    folders: dict[str, None] = {}
    for one in distributions:
        folders[str(one.locate_file(""))] = None
        text, kept = one.read_text("METADATA"), found
        if text is None:  # an egg-info folder, perhaps a stale one beside the source: installed ones go first
            text, kept = one.read_text("PKG-INFO"), leftovers
        name, version = _name_and_version(text or "")
        if name:
            kept.setdefault(normalized(name), (name, version, one))
    chosen = [entry for _, entry in sorted({**leftovers, **found}.items())]
    origins = {
        name: origin
        for name, _, one in chosen
        if (text := one.read_text("direct_url.json")) and (origin := read_origin(text, one.read_text("INSTALLER")))
    }
    return Installed({name: version for name, version, _ in chosen}, origins, tuple(folders))


def normalized(name: str) -> str:
    """The name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _name_and_version(text: str) -> tuple[str, str]:
    """From the head of a package's metadata; parsing all of it as a mail costs ten times as much."""
    head, _, _ = text.replace("\r\n", "\n").partition("\n\n")
    facts = dict(re.findall(r"^(Name|Version): *(.*?) *$", head, re.MULTILINE))
    return facts.get("Name", ""), facts.get("Version", "")


def read_origin(text: str, installer: str | None = None) -> dict[str, Any] | None:
    """Where a package came from, without credentials and paths; None for one from an index.

    Parameters
    ----------
    text
        Its ``direct_url.json`` (PEP 610).
    installer
        Its ``INSTALLER``.

    Returns
    -------
    dict
        ``kind``: ``git`` or another version control system (with ``url``, ``commit``, and ``subdirectory`` if it is
        one), ``archive`` (``url``, ``sha256`` if it is told), ``folder``, or ``editable`` (with the ``commit`` that the
        folder is at now and whether it is ``dirty``). A package of conda has none: it leaves the address of a folder
        on the machine that built it.
    """
    try:
        data: object = json.loads(text)
    except ValueError:
        return None
    return _origin(cast("dict[str, Any]", data), installer) if isinstance(data, dict) else None


def _origin(facts: dict[str, Any], installer: str | None) -> dict[str, Any] | None:
    url = str(facts.get("url", ""))
    if url.startswith("file:") and ((installer or "").strip() == "conda" or _BUILT_BY_CONDA.search(url)):
        return None
    address = scrubbed(url)
    if vcs := facts.get("vcs_info"):
        origin = {"kind": str(vcs.get("vcs", "vcs")), "url": address, "commit": vcs.get("commit_id")}
        return origin | ({"subdirectory": str(facts["subdirectory"])} if facts.get("subdirectory") else {})
    if "dir_info" not in facts:
        digest = (facts.get("archive_info") or {}).get("hashes", {}).get("sha256")
        return {"kind": "archive", "url": address} | ({"sha256": str(digest)} if digest else {})
    if not facts["dir_info"].get("editable"):
        return {"kind": "folder", "url": address}
    return {"kind": "editable", "url": address, **_state_of(Path(unquote(urlsplit(url).path)))}


def _state_of(folder: Path) -> dict[str, Any]:
    """At which commit the folder of an editable installation is, and whether it was changed since."""
    try:
        import git  # noqa: PLC0415  slow to import, and it raises where there is no git program

        with git.Repo(folder, search_parent_directories=True) as repository:
            commit = repository.head.commit.hexsha
            with repository.git.custom_environment(**_LOOK_ONLY):
                command = repository.git(c="core.fsmonitor=false")
                listing = command.status("--porcelain", "-uno", "--", str(folder), kill_after_timeout=_PATIENCE_S)
    except Exception:  # noqa: BLE001  no git, no repository, no commit, somebody else's, damaged: then nothing is said
        return {}
    return {"commit": commit, "dirty": bool(listing)}
