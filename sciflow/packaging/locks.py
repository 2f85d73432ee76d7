"""The environment of a sweep as files that pip, uv and conda install from."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import tomllib
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sciflow.errors import PackageError
from sciflow.provenance.address import scrubbed
from sciflow.provenance.packages import normalized

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_LOCAL: Final = frozenset({"archive", "editable", "folder"})
"""Kinds of origins that are not version control systems."""

_INSTALLERS: Final = frozenset({"distribute", "pip", "setuptools", "uv", "wheel"})
"""What brings packages in is no part of a lock, unless the lock names it."""

_PIN: Final = re.compile(r"^(?P<name>[A-Za-z0-9][\w.\-]*)(?:\[[^\]]*\])?==(?P<version>[^\s;\\]+)")
_HASH: Final = re.compile(r"--hash=(sha256:[0-9a-f]{64})")
_PRIVATE: Final = re.compile(r"^\s*(?:--(?:extra-)?index-url|--find-links|--trusted-host|-i|-f)\b.*$", re.MULTILINE)
_LOCAL_FILE: Final = re.compile(r"file://[^\s\"',)\]]*")
_ADDRESS: Final = re.compile(r"https?://[^\s\"',)\]}]+")
_PUBLIC: Final = re.compile(r"https://(?:files\.pythonhosted\.org|pypi\.org|conda\.anaconda\.org|repo\.anaconda\.com)/")
_MOST_BYTES: Final = 20 << 20


@dataclass(frozen=True, slots=True)
class HashSource:
    """A lock file of the project that has digests of what an index holds.

    Attributes
    ----------
    name
        Of the file.
    digests
        ``(normalized name, version)`` → ``sha256:…`` of each file of that release.
    addresses
        The same → address and SHA-256 of each of those files that is where everybody can get it.
    """

    name: str
    digests: Mapping[tuple[str, str], tuple[str, ...]]
    addresses: Mapping[tuple[str, str], tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class EnvironmentFiles:
    """What is written of an environment.

    Attributes
    ----------
    files
        Name below ``data/environment`` → content.
    notes
        What a reader has to know, such as that there are no hashes.
    has_hashes
        Whether the exact requirements have them.
    """

    files: Mapping[str, bytes]
    notes: tuple[str, ...]
    has_hashes: bool


_NO_PYLOCK: Final = (
    "There is no pylock.toml, which needs the address of a file for each package: a uv.lock of the project has them, "
    "and wheels that come along do without (--wheels)."
)


def environment_files(
    environment: Mapping[str, Any], found: Mapping[str, bytes], wheels: Mapping[str, str] | None = None
) -> EnvironmentFiles:
    """The environment for pip, uv and conda.

    Parameters
    ----------
    environment
        As `sciflow.provenance.environment.capture_environment` gives it.
    found
        Lock files of the project that were there when the sweep ran, by name.
    wheels
        Names of wheels that come along, and the SHA-256 of each.
    """
    sources = [one for name, content in found.items() if (one := _hash_source(name, content)) is not None]
    pins = _Pins(environment, sources, wheels or {})
    files = {
        "requirements.exact.txt": pins.exact().encode(),
        "requirements.txt": pins.plain().encode(),
        "environment.yml": pins.conda().encode(),
    }
    notes = list(pins.notes)
    if (lock := pins.pylock()) is not None:
        files["pylock.toml"] = lock.encode()
    elif pins.packages:
        notes.append(_NO_PYLOCK)
    files |= {f"found/{name.replace('/', '__')}": scrub_lock(content) for name, content in found.items()}
    return EnvironmentFiles(files, tuple(notes), pins.has_hashes)


# --------------------------------------------------------------------------------------------------------------- pins


@dataclass
class _Pins:
    """One package after the other."""

    environment: Mapping[str, Any]
    sources: list[HashSource]
    wheels: Mapping[str, str]
    notes: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.python = str(self.environment.get("python", {}).get("version", ""))
        packages: Mapping[str, str] = self.environment.get("packages", {})
        self.packages = sorted(packages.items(), key=lambda item: normalized(item[0]))
        self.origins: Mapping[str, Any] = self.environment.get("origins", {})
        self.wheel_of = {key: (name, digest) for name, digest in self.wheels.items() if (key := _of_wheel(name))}
        self.source = max(self.sources, key=self._n_known, default=None)
        if self.wheel_of:
            self.digests = {key: (f"sha256:{digest}",) for key, (_, digest) in self.wheel_of.items()}
        else:
            self.digests = dict(self.source.digests) if self.source else {}
        wanting = [name for name, version in self._released() if not self.digests.get((normalized(name), version))]
        only_installers = set(map(normalized, wanting)) <= _INSTALLERS
        # a lock that agrees says what the project needs; what else was installed, it does not
        agreeing = {str(one["name"]) for one in self.environment.get("locks", ()) if one.get("agrees")}
        agrees = self.source is not None and self.source.name in agreeing
        self.has_hashes = bool(self.digests) and (only_installers or agrees)
        self.left_out = frozenset(map(normalized, wanting)) if self.has_hashes else frozenset[str]()
        self._tell(wanting)

    def exact(self) -> str:
        """What pip and uv install with ``--require-hashes``, as far as hashes are known."""
        lines = [
            f"# Exactly what could be imported where the sweep ran, under Python {self.python or 'unknown'}.",
            *(f"# {note}" for note in self.notes),
        ]
        for name, version in self.packages:
            if normalized(name) in self.left_out:
                lines.append(f"# {name}=={version} was there too, and is in no lock")
                continue
            pin = self._line(name, version, with_address=not self.has_hashes)
            hashes = self.digests.get((normalized(name), version), ()) if self.has_hashes else ()
            if self.has_hashes and not hashes and not pin.startswith("#"):
                pin = f"# {pin}: no hash"
            lines.append(" \\\n    --hash=".join([pin, *hashes]) if not pin.startswith("#") else pin)
        return "\n".join(lines) + "\n"

    def plain(self) -> str:
        """Versions alone, for systems where the files of an index are others."""
        lines = [
            f"# Packages that could be imported where the sweep ran, under Python {self.python or 'unknown'}.",
            "# Versions only; requirements.exact.txt says more.",
            *(self._line(name, version, with_address=True) for name, version in self.packages),
        ]
        return "\n".join(lines) + "\n"

    def pylock(self) -> str | None:
        """PEP 751, for the platform on which the sweep ran; None where files of packages are not known."""
        released = [(name, version) for name, version in self._released() if normalized(name) not in self.left_out]
        if not all(self._files_of(name, version) for name, version in released):
            return None
        lines = ['lock-version = "1.0"', 'created-by = "sciflow"']
        if self.python:
            lines.append(f"requires-python = {_toml('>=' + '.'.join(self.python.split('.')[:2]))}")
        lines += [f"# {note}" for note in self.notes]
        kept = [one for one in self.packages if normalized(one[0]) not in self.left_out]
        blocks = [self._pylock_entry(name, version) for name, version in kept]
        return "\n".join(["\n".join(lines), *(block for block in blocks if block)]) + "\n"

    def conda(self) -> str:
        """An environment of conda with the same versions by pip, or with conda's own where it was one."""
        conda: Mapping[str, Any] = self.environment.get("conda") or {}
        versions: Mapping[str, str] = conda.get("versions", {})
        lines = ["name: sweep", "channels:", "  - conda-forge", "dependencies:"]
        own = {normalized(name): version for name, version in versions.items() if name != "python"}
        if self.python:
            lines.append(f"  - python={self.python}")
        lines += [f"  - {name}={version}" for name, version in sorted(own.items()) if name != "pip"]
        by_pip = [
            (name, version) for name, version in self._released() if normalized(name) not in own.keys() | _INSTALLERS
        ]
        if by_pip:
            lines += ["  - pip", "  - pip:", *(f"      - {name}=={version}" for name, version in by_pip)]
        return "\n".join(lines) + "\n"

    def _released(self) -> list[tuple[str, str]]:
        """The packages that an index has."""
        return [(name, version) for name, version in self.packages if name not in self.origins]

    def _n_known(self, source: HashSource) -> int:
        return sum((normalized(name), version) in source.digests for name, version in self._released())

    def _tell(self, wanting: list[str]) -> None:
        if not self.packages:
            self.notes.append("Which packages were installed was not recorded.")
        elif self.has_hashes:
            where = "of the wheels beside this file" if self.wheel_of else f"from the project's {self._source_name()}"
            self.notes.append(f"The hashes are {where}; they say what an index holds, not what was installed.")
            if self.left_out:
                self.notes.append(f"Installed, and in no lock: {', '.join(sorted(self.left_out))}.")
        else:
            why = "the project has no lock file with hashes"
            if self.source is not None:
                missing = ", ".join(wanting[:5]) + (" and more" if len(wanting) > 5 else "")
                why = f"{self._source_name()} of the project has none for {missing}"
            self.notes.append(f"There are no hashes: {why}.")
        local = [name for name in self.origins if self._line(name, "", with_address=True).startswith("#")]
        if local:
            self.notes.append(f"From a folder of the authors, and so on no index: {', '.join(sorted(local))}.")

    def _files_of(self, name: str, version: str) -> list[tuple[str, str, str]]:
        """``path`` or ``url``, where it is, and SHA-256 of the files of a release."""
        key = (normalized(name), version)
        if key in self.wheel_of:
            file, digest = self.wheel_of[key]
            return [("path", f"wheels/{file}", digest)]
        addresses = self.source.addresses.get(key, ()) if self.source else ()
        return [("url", address, digest) for address, digest in addresses]

    def _source_name(self) -> str:
        return self.source.name if self.source else "lock"

    def _line(self, name: str, version: str, *, with_address: bool) -> str:
        """A requirement, or a comment where nobody else can get the package."""
        origin = self.origins.get(name)
        if origin is None:
            return f"{name}=={version}"
        kind, url = origin["kind"], str(origin.get("url", ""))
        if with_address and kind == "archive" and "://" in url:
            return f"{name} @ {url}" + (f"#sha256={origin['sha256']}" if origin.get("sha256") else "")
        if with_address and kind not in _LOCAL and origin.get("commit"):
            part = f"#subdirectory={origin['subdirectory']}" if origin.get("subdirectory") else ""
            return f"{name} @ {kind}+{url}@{origin['commit']}{part}"
        commit = f" at commit {origin['commit']}" if origin.get("commit") else ""
        changed = ", with changes that were not committed" if origin.get("dirty") else ""
        local = "" if "://" in url else "local "
        return f"# {name}=={version} came from a {local}{kind}, {url}{commit}{changed}"

    def _pylock_entry(self, name: str, version: str) -> str:
        origin = self.origins.get(name)
        lines = ["", "[[packages]]", f"name = {_toml(normalized(name))}", f"version = {_toml(version)}"]
        if origin is None:
            return "\n".join([*lines, *_entries(self._files_of(name, version))])
        if origin["kind"] not in _LOCAL and origin.get("commit"):
            part = f", subdirectory = {_toml(origin['subdirectory'])}" if origin.get("subdirectory") else ""
            facts = (
                f"type = {_toml(origin['kind'])}, url = {_toml(origin['url'])}, commit-id = {_toml(origin['commit'])}"
            )
            return "\n".join([*lines, f"vcs = {{{facts}{part}}}"])
        return f"\n# {name} {version} came from a folder or archive of the authors"


def _entries(files: Iterable[tuple[str, str, str]]) -> list[str]:
    """The lines of ``pylock.toml`` that say where the files of a package are."""
    entries: dict[str, str] = {}
    for kind, place, digest in files:
        name = place.rpartition("/")[2]
        hashes = f"{{sha256 = {_toml(digest)}}}"
        entries[place] = f"{{name = {_toml(name)}, {kind} = {_toml(place)}, hashes = {hashes}}}"
    wheels = [f"  {entry}," for place, entry in entries.items() if place.endswith(".whl")]
    others = [f"sdist = {entry}" for place, entry in entries.items() if not place.endswith(".whl")]
    return [*(["wheels = [", *wheels, "]"] if wheels else []), *others[:1]]


def _toml(text: object) -> str:
    return json.dumps(str(text), ensure_ascii=False)


def _of_wheel(file: str) -> tuple[str, str] | None:
    parts = file.removesuffix(".whl").split("-")
    return (normalized(parts[0]), parts[1]) if file.endswith(".whl") and len(parts) >= 5 else None


# -------------------------------------------------------------------------------------------------------- lock files


def found_locks(
    environment: Mapping[str, Any], archive: bytes | Path | None, folders: Iterable[Path]
) -> dict[str, bytes]:
    """The lock files that the environment's record names, with the content that they had then, as far as it is there.

    Parameters
    ----------
    archive
        The tree of the repository, as it was kept; a gzipped tar.
    folders
        Where they may still lie.
    """
    import hashlib  # noqa: PLC0415  one use

    wanted = {str(one["name"]): str(one["sha256"]) for one in environment.get("locks", ()) if one.get("sha256")}
    found: dict[str, bytes] = {}
    for name, digest in wanted.items():
        for folder in folders:
            path = folder / name
            if path.is_file() and path.stat().st_size <= _MOST_BYTES:
                content = path.read_bytes()
                if hashlib.sha256(content).hexdigest() == digest:
                    found[name] = content
                    break
    missing = wanted.keys() - found.keys()
    if missing and archive is not None:
        kept = _from_archive(archive, missing).items()
        found |= {name: one for name, one in kept if hashlib.sha256(one).hexdigest() == wanted[name]}
    return dict(sorted(found.items()))


def _from_archive(archive: bytes | Path, names: Iterable[str]) -> dict[str, bytes]:
    wanted = set(names)
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive) if isinstance(archive, bytes) else archive.open("rb")) as tree:
            for member in tree:
                if member.isfile() and member.name in wanted and member.size <= _MOST_BYTES:
                    file = tree.extractfile(member)
                    found[member.name] = file.read() if file else b""
    except (OSError, tarfile.TarError):
        return found
    return found


def scrub_lock(content: bytes) -> bytes:
    """A lock file without credentials, places on somebody's machine, and indexes that others cannot reach."""
    text = content.decode("utf-8", "replace")
    text = _PRIVATE.sub(lambda match: f"# {match[0].split()[0].lstrip('-')} left out", text)
    text = _LOCAL_FILE.sub(lambda match: scrubbed(match[0]), text)
    return _ADDRESS.sub(lambda match: match[0] if _PUBLIC.match(match[0]) else scrubbed(match[0]), text).encode()


def _hash_source(name: str, content: bytes) -> HashSource | None:
    text = content.decode("utf-8", "replace")
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    addresses: dict[tuple[str, str], tuple[tuple[str, str], ...]] = {}
    try:
        if name.endswith(".txt"):
            for pin, hashes in _pins_of(text):
                found[pin] += hashes
        elif name.endswith((".lock", ".toml")):
            data = tomllib.loads(text)
            for one in data.get("package") or data.get("packages") or []:
                if "version" in one:
                    pin = (normalized(one["name"]), one["version"])
                    found[pin] += [digest for _, digest in _files_in(one)]
                    addresses[pin] = tuple(
                        (url, digest.removeprefix("sha256:")) for url, digest in _files_in(one) if _PUBLIC.match(url)
                    )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        return None
    digests = {pin: tuple(sorted(set(hashes))) for pin, hashes in found.items() if hashes}
    return HashSource(name, digests, addresses) if digests else None


def _pins_of(text: str) -> Iterable[tuple[tuple[str, str], list[str]]]:
    for line in text.replace("\\\n", " ").splitlines():
        if match := _PIN.match(line.strip()):
            yield (normalized(match["name"]), match["version"]), _HASH.findall(line)


def _files_in(package: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Address (empty where none is told) and ``sha256:…`` of the files of a package, of uv, Poetry, PDM and PEP 751."""
    files = [*package.get("wheels", ()), *package.get("files", ())]
    files += [package["sdist"]] if isinstance(package.get("sdist"), dict) else []
    told = [
        (str(one.get("url", "")), one.get("hash") or f"sha256:{one.get('hashes', {}).get('sha256', '')}")
        for one in files
    ]
    return [one for one in told if re.fullmatch(r"sha256:[0-9a-f]{64}", one[1])]


def download_wheels(requirements: str, folder: Path) -> list[Path]:
    """Fetch the wheels of some requirements with pip, from the index that it is configured for.

    Raises
    ------
    PackageError
        Not all could be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / "wanted.txt"
    listing.write_text(requirements, "utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(  # noqa: S603  pip itself, no shell
        [*command, "--dest", str(folder), "--requirement", str(listing)], capture_output=True, text=True, check=False
    )
    listing.unlink()
    if done.returncode:
        words = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise PackageError(f"the wheels could not be fetched: {words[-1] if words else done.returncode}")
    return sorted(folder.glob("*.whl"))
