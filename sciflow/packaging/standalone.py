"""Check a package of a parameter sweep: safe to open, unchanged, complete, and of one piece.

    python3 verify.py                 the unpacked package that this file lies in
    python3 verify.py PACKAGE.zip     without unpacking it; also a folder
    python3 verify.py --expect ID PACKAGE.zip

Needs Python 3.9 or newer and nothing else, and reads only: nothing of the package is imported, executed, unpickled or
fetched. This file came with the package, so it proves as much as you trust who gave it to you: with sciflow installed,
`sciflow verify PACKAGE.zip` does the same with your own copy and compares the numbers too.

Exit codes: 0 all well, 4 unsafe or changed, 5 incomplete or inconsistent, 7 cannot be checked, 2 usage.
"""

# sciflow itself imports this file, so that there is one set of rules; what is written here has to run on Python 3.9.

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import os
import re
import stat
import sys
import unicodedata
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

SCHEMA = 2
RECORD = "sciflow-package.json"
CRATE = "ro-crate-metadata.json"
BAGIT = "bagit.txt"
BAG_INFO = "bag-info.txt"
MANIFEST = "manifest-sha256.txt"
TAG_MANIFEST = "tagmanifest-sha256.txt"
FETCH = "fetch.txt"
PAYLOAD = "data/"
CODE = "data/code/"
INPUTS = "data/inputs/"
ARTIFACTS = "data/artifacts/"
LOCKS = "data/environment/"
RECORDS = "data/records/"
DEFINITION = "data/workflow/definition.json"
SWEEP = "data/workflow/sweep.json"
GIT = "data/provenance/git.json"
PATCH = "data/provenance/uncommitted.patch"
FORMAT_1 = "package.json"

OK, UNSOUND, INCOMPLETE, UNCHECKED = 0, 4, 5, 7
"""Exit codes."""

_EXIT_OF = {"safety": UNSOUND, "integrity": UNSOUND, "format": UNCHECKED, "environment": UNCHECKED}
_BLOCK_BYTES = 1 << 20
_FIXED_HEADER_BYTES = 30
_MOST_NAMED = 20

_MUST_BE_TAGGED = (BAGIT, BAG_INFO, MANIFEST, RECORD, CRATE)
_LOCK = re.compile(
    re.escape(LOCKS) + r"(requirements(\.\w+)*\.txt|pylock(\.\w+)?\.toml|environment\.ya?ml|found/.+"
    r"|(uv|poetry|pixi)\.lock|conda-lock\.ya?ml)"
)
_VARIANT = re.compile("v[0-9a-f]{20}")
_DIGEST = re.compile("[0-9a-f]{64}")
_TREE = re.compile("[0-9a-f]{40,64}")  # of Git's trees too
_HEX = re.compile("[0-9a-f]{1,64}")
_OF_RECORDS = re.compile(
    re.escape(RECORDS) + r"((sweep|arrays)\.json|(definition|sessions)/\d+\.json|sessions/\d+\.end"
    r"|environment/[0-9a-f]+\.json|segments/[\w.\-]+\.seg|events/[\w.\-]+\.jsonl)"
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_DRIVE = re.compile("[A-Za-z]:")
PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth")
"""Suffixes of files that may run code when they are opened."""
_LOCAL_FILE = re.compile(r"""file:(//)?/|@\s*/|^/|path\s*=\s*["']/""", re.MULTILINE)


@dataclass(frozen=True)
class Finding:
    """One thing that a check noticed.

    Attributes
    ----------
    severity
        ``error`` decides the exit code; ``warning`` is worth a look; ``note`` is for completeness.
    check
        ``safety``, ``integrity``, ``format``, ``completeness``, ``consistency``, ``hygiene`` or ``environment``.
    file
        In the package; empty when it concerns the whole.
    what
        What was found.
    remedy
        What to do about it.
    """

    severity: str
    check: str
    file: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        where = f" {self.file}:" if self.file else ""
        return f"{self.severity} ({self.check}):{where} {self.what}" + (f"; {self.remedy}" if self.remedy else "")

    def to_dict(self) -> dict[str, str]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Limits:
    """What an archive may be at most; beyond this it is taken for a bomb."""

    members: int = 1_000_000
    total_bytes: int = 1 << 40
    ratio: float = 200.0
    """Of all contents to the archive, beyond `harmless_bytes`; a column of equal numbers alone may reach 1000."""
    harmless_bytes: int = 2 << 30
    text_bytes: int = 512 << 20
    """Of one file that is read as a whole."""


class UnsafeError(Exception):
    """The package must not be opened; its findings say why."""

    def __init__(self, findings: list[Finding]) -> None:
        super().__init__(findings)
        self.findings = findings

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


def exit_code(findings: Iterable[Finding]) -> int:
    """What a script is told: the gravest of the errors."""
    codes = {_EXIT_OF.get(one.check, INCOMPLETE) for one in findings if one.severity == "error"}
    return next((code for code in (UNSOUND, UNCHECKED, INCOMPLETE) if code in codes), OK)


# ------------------------------------------------------------------------------------------ where the files are


class Container:
    """The files of a package, whatever holds them; get one with `opened`, which has looked whether they are safe."""

    def __init__(self, sizes: Mapping[str, int], limits: Limits) -> None:
        self.sizes = dict(sizes)
        self.limits = limits

    @property
    def names(self) -> list[str]:
        """All files, sorted."""
        return sorted(self.sizes)

    def __contains__(self, name: object) -> bool:
        return name in self.sizes

    def below(self, folder: str) -> list[str]:
        """The files in a folder, which ends with a slash."""
        return [name for name in self.names if name.startswith(folder)]

    def open(self, name: str) -> IO[bytes]:
        """A file, to read."""
        raise NotImplementedError

    def blocks(self, name: str) -> Iterator[bytes]:
        """The content of a file, piece by piece, and never more than its size was said to be."""
        n_bytes = 0
        with self.open(name) as file:
            while True:
                block = file.read(_BLOCK_BYTES)
                if not block:
                    return
                n_bytes += len(block)
                if n_bytes > self.sizes[name]:
                    what = f"holds more than the {self.sizes[name]:,} bytes that it says it has"
                    raise UnsafeError([Finding("error", "safety", name, what, "do not open this archive")])
                yield block

    def read(self, name: str) -> bytes:
        """The whole content of a file of moderate size."""
        if self.sizes[name] > self.limits.text_bytes:
            what = f"has {self.sizes[name]:,} bytes, where a text of at most {self.limits.text_bytes:,} is expected"
            raise UnsafeError([Finding("error", "safety", name, what)])
        return b"".join(self.blocks(name))


class _Zip(Container):
    def __init__(self, archive: zipfile.ZipFile, sizes: Mapping[str, int], limits: Limits) -> None:
        super().__init__(sizes, limits)
        self._archive = archive

    def open(self, name: str) -> IO[bytes]:
        return self._archive.open(name)


class _Folder(Container):
    def __init__(self, root: str, sizes: Mapping[str, int], limits: Limits) -> None:
        super().__init__(sizes, limits)
        self._root = root

    def open(self, name: str) -> IO[bytes]:
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(os.path.join(self._root, *name.split("/")), flags), "rb")  # noqa: PTH118  bytes of names


@contextmanager
def opened(path: str | os.PathLike[str], limits: Limits | None = None) -> Generator[Container]:
    """Open a package, a zip or a folder, once its names and sizes are found to be harmless; nothing is unpacked.

    Raises
    ------
    UnsafeError
        They are not, or the file is no whole zip.
    OSError
        It cannot be read.
    """
    limits = limits or Limits()
    path = os.fspath(path)
    if os.path.isdir(path):  # noqa: PTH112  a text, as above
        sizes, findings = _walk(path)
        findings += check_names(sizes)
        if findings:
            raise UnsafeError(findings)
        yield _Folder(path, sizes, limits)
        return
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        what = f"is no zip archive, or only a part of one ({error})"
        raise UnsafeError([Finding("error", "integrity", "", what, "copy or download it again")]) from None
    with archive:
        findings = check_members(archive.infolist(), os.path.getsize(path), limits)  # noqa: PTH202  a text
        if findings:
            raise UnsafeError(findings)
        sizes = {one.filename: one.file_size for one in archive.infolist() if not one.is_dir()}
        yield _Zip(archive, sizes, limits)


def _walk(root: str) -> tuple[dict[str, int], list[Finding]]:
    """Sizes of the files in a folder; links and whatever else is no file are refused."""
    sizes: dict[str, int] = {}
    findings: list[Finding] = []
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(os.path.join(root, folder)) as entries:  # noqa: PTH118  a text
            for entry in entries:
                name = f"{folder}{entry.name}"
                if entry.is_symlink() or not (entry.is_dir() or entry.is_file()):
                    findings.append(_unsafe(name, "is a link or a special file", "unpack the archive again"))
                elif entry.is_dir():
                    waiting.append(f"{name}/")
                else:
                    sizes[name] = entry.stat(follow_symlinks=False).st_size
    return sizes, findings


# --------------------------------------------------------------------------------------------------------- safety


def _unsafe(name: str, what: str, remedy: str = "do not unpack this archive") -> Finding:
    return Finding("error", "safety", name.encode("unicode_escape").decode(), what, remedy)


def check_names(names: Iterable[str]) -> list[Finding]:
    """Refuse names that could lead out of a folder, or that one file system keeps apart and another does not."""
    findings: list[Finding] = []
    known: dict[str, str] = {}
    for name in names:
        problem = _name_problem(name)
        if problem:
            findings.append(_unsafe(name, problem))
        folded = unicodedata.normalize("NFC", name.rstrip("/")).casefold()
        if folded in known:
            same = "is there twice" if known[folded] == name else f"differs from {known[folded]!r} in spelling only"
            findings.append(_unsafe(name, same))
        known[folded] = name
    folders = {folder for folded in known for folder in _above(folded)}
    findings += [
        _unsafe(known[one], "is a file, and files lie below it")
        for one in sorted(folders & known.keys())
        if not known[one].endswith("/")
    ]
    return findings


def _above(name: str) -> Iterator[str]:
    """The folders that a file lies in."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def _name_problem(name: str) -> str:
    if "\\" in name:
        return "has a backslash in its name"
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in name):  # control characters
        return "has a control character in its name"
    if name.startswith("/") or _DRIVE.match(name):
        return "is an absolute path"
    parts = name[:-1].split("/") if name.endswith("/") else name.split("/")
    if ".." in parts:
        return "leads out of the folder (..)"
    if "" in parts or "." in parts:
        return "is no plain path"
    return ""


def check_members(members: list[zipfile.ZipInfo], archive_bytes: int, limits: Limits) -> list[Finding]:
    """Refuse an archive that could do harm when it is read or unpacked."""
    if len(members) > limits.members:
        return [_unsafe("", f"has {len(members):,} members, more than {limits.members:,}")]
    # the name as it was written: the zip library cuts it at a zero byte
    findings = check_names([one.orig_filename for one in members])
    for one in members:
        kind = stat.S_IFMT(one.external_attr >> 16)
        if one.create_system == 3 and kind not in (0, stat.S_IFREG, stat.S_IFDIR):  # 3: attributes of Unix
            findings.append(_unsafe(one.filename, "is a link or a special file"))
        if one.flag_bits & 0x41:  # bit 0: encrypted; bit 6: strongly
            findings.append(_unsafe(one.filename, "is encrypted"))
        if one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            findings.append(_unsafe(one.filename, f"is compressed by method {one.compress_type}; 0 and 8 are read"))
        if one.is_dir() and one.file_size:
            findings.append(_unsafe(one.filename, "is a folder with content"))
    total = sum(one.file_size for one in members)
    if total > limits.total_bytes:
        findings.append(_unsafe("", f"unpacks to {total:,} bytes, more than {limits.total_bytes:,}"))
    if total > limits.harmless_bytes and total > limits.ratio * max(archive_bytes, 1):
        findings.append(_unsafe("", f"unpacks to {total:,} bytes from {archive_bytes:,}: a bomb"))
    return findings + _overlaps(members, archive_bytes)


def _overlaps(members: list[zipfile.ZipInfo], archive_bytes: int) -> list[Finding]:
    """Members that share bytes of the archive, by which a small file can unpack to a huge one."""
    ordered = sorted(members, key=lambda one: one.header_offset)
    ends = [*(one.header_offset for one in ordered[1:]), archive_bytes]
    return [
        _unsafe(one.filename, "shares bytes of the archive with another member")
        for one, end in zip(ordered, ends)  # noqa: B905  `strict` came with Python 3.10
        if one.header_offset + _FIXED_HEADER_BYTES + one.compress_size > end
    ]


# ------------------------------------------------------------------------------------------------------ integrity


@dataclass(frozen=True)
class Integrity:
    """What the manifests say.

    Attributes
    ----------
    digests
        SHA-256 of every file that could be read.
    package_id
        SHA-256 of the tag manifest, which covers everything; empty without one.
    """

    digests: dict[str, str]
    package_id: str
    findings: list[Finding]


def check_integrity(package: Container, expect: str | None = None) -> Integrity:
    """Compare every file with the manifests; RFC 8493."""
    findings: list[Finding] = []
    digests: dict[str, str] = {}
    for name in package.names:
        digest = hashlib.sha256()
        n_bytes = 0
        try:
            for block in package.blocks(name):
                digest.update(block)
                n_bytes += len(block)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError) as error:
            findings.append(_changed(name, f"cannot be read: {error}"))
            continue
        if n_bytes != package.sizes[name]:
            findings.append(_changed(name, f"has {n_bytes:,} bytes and says {package.sizes[name]:,}"))
        digests[name] = digest.hexdigest()
    package_id = digests.get(TAG_MANIFEST, "")
    if RECORD not in package and FORMAT_1 in package and MANIFEST in package:
        return Integrity(digests, "", findings + _check_format_1(package, digests))
    if BAGIT not in package and RECORD not in package:
        what = f"is no package of a sweep: neither {RECORD} nor {BAGIT} is in it"
        return Integrity(digests, package_id, [*findings, Finding("error", "completeness", "", what)])
    for manifest in (MANIFEST, TAG_MANIFEST):
        if manifest not in package:
            findings.append(_changed(manifest, "is missing, so nothing says what the files were"))
            continue
        listed, problems = _listed(package, manifest)
        findings += problems + _compare(package, manifest, listed, digests)
    findings += _check_oxum(package)
    if expect is not None and expect.strip().lower() != package_id:
        what = f"the package is {package_id or 'without an id'}, expected was {expect.strip().lower()}"
        findings.append(_changed("", what, "this is another package, or it was changed: ask its author"))
    return Integrity(digests, package_id, findings)


def _changed(name: str, what: str, remedy: str = "get the package again, or ask its author") -> Finding:
    return Finding("error", "integrity", name, what, remedy)


def _listed(package: Container, manifest: str) -> tuple[dict[str, str], list[Finding]]:
    listed: dict[str, str] = {}
    findings: list[Finding] = []
    for number, line in enumerate(package.read(manifest).decode("utf-8", "replace").splitlines(), 1):
        digest, _, name = line.partition("  ")
        # BagIt writes these three in other words, to keep one file on one line
        name = name.replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
        if not _DIGEST.fullmatch(digest) or not name:
            findings.append(_changed(manifest, f"line {number} is no digest and name"))
        elif name in listed:
            findings.append(_changed(manifest, f"lists {name} twice"))
        listed[name] = digest
    return listed, findings


def _compare(package: Container, manifest: str, listed: Mapping[str, str], digests: Mapping[str, str]) -> list[Finding]:
    is_payload = manifest == MANIFEST
    fetched = _fetched(package) if is_payload else set[str]()
    findings: list[Finding] = []
    for name, digest in listed.items():
        if name not in package:
            if name not in fetched:
                findings.append(_changed(name, f"is missing ({manifest} lists it)"))
        elif name in digests and digests[name] != digest:
            findings.append(_changed(name, f"was changed: it is not what {manifest} says"))
    for name in package.names:
        if name in listed or name.startswith(PAYLOAD) != is_payload or name == TAG_MANIFEST:
            continue
        if is_payload or name in _MUST_BE_TAGGED:
            findings.append(_changed(name, f"was added: {manifest} does not list it"))
        else:
            what = f"is not listed in {manifest}: nothing vouches for it"
            findings.append(Finding("warning", "integrity", name, what, "ignore it"))
    return findings


def _fetched(package: Container) -> set[str]:
    """Files that are elsewhere, by fetch.txt; they are looked for there by nobody."""
    if FETCH not in package:
        return set()
    lines = package.read(FETCH).decode("utf-8", "replace").splitlines()
    return {line.split(None, 2)[2] for line in lines if len(line.split(None, 2)) == 3}  # URL, length, name


def _check_oxum(package: Container) -> Iterator[Finding]:
    if BAG_INFO not in package:
        yield _changed(BAG_INFO, "is missing")
        return
    text = package.read(BAG_INFO).decode("utf-8", "replace")
    match = re.search(r"^Payload-Oxum:\s*(\d+)\.(\d+)\s*$", text, re.MULTILINE)
    if not match:
        yield _changed(BAG_INFO, "does not say how much the payload is (Payload-Oxum)")
        return
    payload = package.below(PAYLOAD)
    there = sum(package.sizes[name] for name in payload), len(payload)
    said = int(match[1]), int(match[2])
    if there != said:
        what = f"the payload is {there[0]:,} bytes in {there[1]:,} files; {said[0]:,} in {said[1]:,} were packed"
        yield _changed(BAG_INFO, what)


def _check_format_1(package: Container, digests: Mapping[str, str]) -> list[Finding]:
    listed, findings = _listed(package, MANIFEST)
    findings += [
        _changed(name, f"is not what {MANIFEST} says" if name in package else "is missing")
        for name, digest in listed.items()
        if digests.get(name) != digest
    ]
    what = "the package is of format 1, of which only the digests can be checked"
    remedy = "its files are readable as they are; ask the author to make it again with today's sciflow"
    return [*findings, Finding("error", "format", FORMAT_1, what, remedy)]


# --------------------------------------------------------------------------------------------------- completeness


def read_json(package: Container, name: str) -> Any:
    """The content of a JSON file; None if it is not there or is none."""
    if name not in package:
        return None
    try:
        return json.loads(package.read(name))
    except (ValueError, RecursionError):
        return None


def read_record(package: Container) -> tuple[dict[str, Any], list[Finding]]:
    """The machine record of the package; empty when nothing more can be said."""
    record = read_json(package, RECORD)
    if not isinstance(record, dict):
        what = "is missing" if RECORD not in package else "is no JSON object"
        return {}, [Finding("error", "completeness", RECORD, what, "this is no package of sciflow, or not all of it")]
    known = cast("dict[str, Any]", record)
    schema = known.get("schema")
    if not isinstance(schema, int) or schema > SCHEMA:
        what = f"the package has schema {schema}; this release knows {SCHEMA}"
        return {}, [Finding("error", "format", RECORD, what, "check it with a newer sciflow")]
    return _in_shape(known)


def _in_shape(record: dict[str, Any]) -> tuple[dict[str, Any], list[Finding]]:
    """The record with every part that others rely on of the kind that they expect."""
    findings: list[Finding] = []
    for key, kind in (("counts", int), ("files", str), ("environments", str), ("code", None), ("run", None)):
        part = record.get(key, {})
        is_so = isinstance(part, dict)
        if is_so and kind is not None:
            is_so = all(isinstance(value, kind) for value in cast("dict[str, object]", part).values())
        if not is_so:
            findings.append(_lacks(RECORD, f"has no {key!r} that can be read"))
        record = {**record, key: part if is_so else {}}
    inputs = record.get("inputs", [])
    if not isinstance(inputs, list) or not all(isinstance(one, dict) for one in cast("list[object]", inputs)):
        findings.append(_lacks(RECORD, "has no 'inputs' that can be read"))
        inputs = []
    return {**record, "inputs": inputs}, findings


# ---------------------------------------------------------------------------------------- texts that become paths


def check_paths(package: Container, record: Mapping[str, Any]) -> list[Finding]:
    """Refuse texts that would name places of the reader's when the package is imported or run again."""
    findings = [
        _unsafe(name, f"has {part} {value!r}, which can lead elsewhere", "do not use this package")
        for name, part, value, is_harmless in (*_paths_of_record(record), *_paths_of_sweep(package))
        if value is not None and not is_harmless
    ]
    others = [name for name in package.below(RECORDS) if not is_record(name)]
    return findings + [_unsafe(name, "is nothing that records have", "do not use this package") for name in others]


def _paths_of_record(record: Mapping[str, Any]) -> Iterator[tuple[str, str, object, bool]]:
    """File, what it is there, the value, and whether that names no other place."""
    run, code = _mapping(record.get("run")), _mapping(record.get("code"))
    for part, value in (("name", record.get("name")), ("workflow", record.get("workflow"))):
        yield RECORD, part, value, _is_one_name(value)
    yield RECORD, "run.workflow", run.get("workflow"), _is_one_name(run.get("workflow"))
    yield RECORD, "run.script", run.get("script"), _is_below("", run.get("script"))
    for part in ("tree", "frozen"):
        yield RECORD, f"code.{part}", code.get(part), _matches(_TREE, code.get(part))
    yield RECORD, "code.patch", code.get("patch"), code.get("patch") == PATCH
    for role, value in _mapping(record.get("files")).items():
        yield RECORD, f"files.{role}", value, _is_below(PAYLOAD, value)
    for digest, value in _mapping(record.get("environments")).items():
        is_digest = _matches(_HEX, digest)
        yield RECORD, f"environment {digest!r}:", value, is_digest and value == f"{LOCKS}{digest}.json"
    for one in _entries(record.get("inputs")):
        name, place = one.get("name"), one.get("path")
        yield RECORD, f"input {name!r}:", place, _is_below("", name) and place == f"{INPUTS}{name}"


def _paths_of_sweep(package: Container) -> Iterator[tuple[str, str, object, bool]]:
    """The same of what a sweep says that is made of the package."""
    for name, part in ((SWEEP, "workflow"), (f"{RECORDS}sweep.json", "workflow"), (DEFINITION, "name")):
        value = _mapping(read_json(package, name)).get(part)
        yield name, part, value, _is_one_name(value)
    for name in package.below(f"{RECORDS}sessions/"):
        session = _mapping(read_json(package, name))
        yield name, "folder", session.get("folder"), False  # packages say nothing of where it was
        code = _mapping(session.get("code"))
        yield name, "code.tree", code.get("tree"), _matches(_TREE, code.get("tree"))
        for part in ("patch", "archive"):  # which whoever packs an imported sweep again would pack
            file = _mapping(_mapping(code.get("repository")).get(part)).get("file")
            yield name, f"the file of the {part}", file, _is_below("code/", file)


def _is_one_name(value: object) -> bool:
    """Whether a text can name a folder in another, and nothing else."""
    return isinstance(value, str) and value not in ("", ".", "..") and not set(value) & set("/\\\0")


def _is_below(folder: str, value: object) -> bool:
    return isinstance(value, str) and value.startswith(folder) and not _name_problem(value)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and bool(pattern.fullmatch(value))


def is_record(name: str) -> bool:
    """Whether a file below `RECORDS` is one of those that packages have.

    What else may be in the directory of a sweep its driver trusts: notes of running processes, which it may end, and
    what tasks returned, which it unpickles.
    """
    return bool(_OF_RECORDS.fullmatch(name))


def _lacks(name: str, what: str, remedy: str = "ask the author for a complete package") -> Finding:
    return Finding("error", "completeness", name, what, remedy)


def check_completeness(package: Container, record: Mapping[str, Any]) -> list[Finding]:
    """What a reader needs to see and repeat the results is there."""
    what = record.get("what", "all")
    files = _mapping(record.get("files"))
    findings = [
        _lacks(str(name), f"is missing ({RECORD} names it as {role})")
        for role, name in sorted(files.items())
        if isinstance(name, str) and name not in package and not package.below(f"{name}/")
    ]
    wanted = {"all": ("definition", "results", "table", "records", "code"), "results": ("definition", "results")}
    wanted["code"] = ("definition", "code")
    findings += [_lacks(RECORD, f"names no {role}") for role in wanted.get(str(what), ()) if not files.get(role)]
    script = _mapping(record.get("run")).get("script")
    if isinstance(script, str) and f"{CODE}{script}" not in package:
        findings.append(_lacks(f"{CODE}{script}", f"is missing ({RECORD} names it as the script)"))
    if not package.below(CODE) and what != "results":
        findings.append(_lacks(CODE, "has no file: the code that ran is not in the package"))
    if what != "results" and not any(_LOCK.fullmatch(name) for name in package.names):
        findings.append(_lacks(LOCKS, "has no list of packages that an installer reads"))
    environments = _mapping(record.get("environments"))
    findings += [
        _lacks(str(name), "is missing: the description of an environment that results were computed in")
        for name in environments.values()
        if name not in package
    ]
    if what != "results":
        findings += _check_code_record(package, _mapping(record.get("code")))
    for one in _entries(record.get("inputs")):
        findings += _check_input(package, one)
    return findings


def _check_code_record(package: Container, code: Mapping[str, Any]) -> Iterator[Finding]:
    if GIT not in package:
        yield _lacks(GIT, "is missing: nothing says which commit the code is of")
    patch = code.get("patch")
    if isinstance(patch, str) and patch not in package:
        yield _lacks(patch, "is missing: what had changed since the commit")
    elif code.get("dirty") and not patch and PATCH not in package:
        yield _lacks(PATCH, "is missing, and the code had changed since the commit")


def _check_input(package: Container, one: Mapping[str, Any]) -> Iterator[Finding]:
    name, path, digest = str(one.get("name")), one.get("path"), one.get("sha256")
    if isinstance(path, str):
        if path not in package:
            yield _lacks(path, f"is missing: input {name!r}")
        return
    if not digest:
        severity = "warning" if one.get("hash") or one.get("mtime_ns") else "error"
        what = f"input {name!r} is not in the package, and no digest says what it was"
        yield Finding(severity, "completeness", RECORD, what, "ask the author for the file")
    elif not (one.get("url") or one.get("fetch")):
        what = f"input {name!r} is not in the package, and nothing says where to get it"
        yield Finding("warning", "completeness", RECORD, what, f"a file with SHA-256 {digest} is the right one")


# ---------------------------------------------------------------------------------------------------- consistency


def _disagree(name: str, what: str) -> Finding:
    return Finding("error", "consistency", name, what, "the package was edited, or made wrongly: ask its author")


def check_consistency(package: Container, record: Mapping[str, Any], digests: Mapping[str, str]) -> list[Finding]:
    """What the parts of the package say of each other is so."""
    findings = list(_check_crate(package, digests))
    for one in _entries(record.get("inputs")):
        path, digest = one.get("path"), one.get("sha256")
        if isinstance(path, str) and digest and digests.get(path, digest) != digest:
            findings.append(_disagree(path, f"is not the input {one.get('name')!r} that the results were made of"))
    findings += _check_frozen(package, record, digests)
    table = _mapping(record.get("files")).get("table")
    if isinstance(table, str) and table in package:
        findings += _check_table(package, table, record)
    return findings


def _check_frozen(package: Container, record: Mapping[str, Any], digests: Mapping[str, str]) -> Iterator[Finding]:
    """The code is what was frozen when the sweep ran; the script was frozen in a folder of its own."""
    frozen = _mapping(record.get("code")).get("frozen")
    script = _mapping(record.get("run")).get("script")
    files = {name[len(CODE) :]: digests.get(name, "") for name in package.below(CODE)}
    if not isinstance(frozen, str) or not _DIGEST.fullmatch(frozen) or not files:
        return
    moved = {f"__main__/{name}" if name == script else name: digest for name, digest in files.items()}
    # a module may be imported by the name of the script too
    possible = (files, moved, {**files, **moved})
    if frozen not in {_digest_of_tree(one) for one in possible}:
        yield _disagree(CODE, "is not the code that was frozen when the sweep ran")


def _digest_of_tree(files: Mapping[str, str]) -> str:
    text = json.dumps(files, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _check_crate(package: Container, digests: Mapping[str, str]) -> Iterator[Finding]:
    crate = read_json(package, CRATE)
    graph = _mapping(crate).get("@graph")
    if not isinstance(graph, list):
        yield Finding("error", "completeness", CRATE, "is missing, or describes nothing")
        return
    for entity in _entries(graph):
        kinds = entity.get("@type")
        is_file = "File" in (kinds if isinstance(kinds, list) else [kinds])
        identifier = entity.get("@id")
        if not is_file or not isinstance(identifier, str) or _SCHEME.match(identifier) or identifier.startswith("#"):
            continue
        name = unquote(identifier.removeprefix("./"))
        if name not in package:
            yield _disagree(CRATE, f"describes {name!r}, which is not in the package")
        elif "sha256" in entity and digests.get(name, entity["sha256"]) != entity["sha256"]:
            yield _disagree(name, f"is not what {CRATE} says (sha256)")
        elif str(entity.get("contentSize", package.sizes[name])) != str(package.sizes[name]):
            yield _disagree(name, f"has {package.sizes[name]:,} bytes; {CRATE} says {entity['contentSize']}")


def _check_table(package: Container, table: str, record: Mapping[str, Any]) -> Iterator[Finding]:
    """One row for each variant, each with its own id, as many of each status as were packed."""
    statuses: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    silent = 0
    csv.field_size_limit(package.limits.text_bytes)  # a text may be an output
    with package.open(table) as file, io.TextIOWrapper(file, "utf-8", "replace", newline="") as lines:
        for row in csv.DictReader(lines):
            ids[row.get("variant") or ""] += 1
            statuses[row.get("status") or ""] += 1
            silent += row.get("status") == "failed" and not row.get("failure")
    wrong = [one for one in ids if not _VARIANT.fullmatch(one)]
    if wrong:
        yield _disagree(table, f"has rows without the id of a variant, such as {wrong[0]!r}")
    twice = [one for one, n in ids.items() if n > 1]
    if twice:
        yield _disagree(table, f"has {twice[0]} more than once")
    counts = _mapping(record.get("counts"))
    for status in ("done", "failed"):
        said = counts.get(status, 0)
        if statuses[status] != said:
            yield _disagree(table, f"has {statuses[status]:,} variants that are {status}; {RECORD} says {said:,}")
    n_declared = record.get("n_variants")
    if isinstance(n_declared, int) and sum(_numbers(counts)) != n_declared:
        yield _disagree(RECORD, f"declares {n_declared:,} variants and counts {sum(_numbers(counts)):,}")
    if not counts.get("missing") and isinstance(n_declared, int) and sum(ids.values()) != n_declared:
        yield _disagree(table, f"has {sum(ids.values()):,} rows for {n_declared:,} variants")
    if silent:
        yield Finding("warning", "completeness", table, f"{silent:,} failures say nothing of what went wrong")


# -------------------------------------------------------------------------------------------------------- hygiene


def check_hygiene(package: Container) -> list[Finding]:
    """What should not be in a package; pickles are told and never loaded."""
    findings: list[Finding] = []
    for name in package.names:
        if _is_pickle(package, name):
            if name.startswith((ARTIFACTS, INPUTS, CODE)):
                what = "is a pickle of its author's: opening it runs code"
                findings.append(Finding("warning", "hygiene", name, what, "load it only if you trust the author"))
            else:
                findings.append(_unsafe(name, "is a pickle where none belongs", "do not open it"))
        if _LOCK.fullmatch(name) and package.sizes[name] < package.limits.text_bytes:
            match = _LOCAL_FILE.search(package.read(name).decode("utf-8", "replace"))
            if match:
                what = "names a file of the machine that it was made on"
                findings.append(Finding("warning", "hygiene", name, what, "no other machine can install that package"))
    return findings


def _is_pickle(package: Container, name: str) -> bool:
    if name.lower().endswith(PICKLES):
        return True
    if package.sizes[name] < 4:  # shorter than any that holds something
        return False
    with package.open(name) as file:
        head = file.read(3)
    # PROTO, its number, and FRAME, or the first opcode of what older protocols write
    return head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and head[2:3] in b"\x95}](cX"


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _entries(value: object) -> list[Mapping[str, Any]]:
    return [_mapping(one) for one in cast("list[object]", value)] if isinstance(value, list) else []


def _numbers(counts: Mapping[str, Any]) -> list[int]:
    return [value for value in counts.values() if isinstance(value, int)]


# -------------------------------------------------------------------------------------------------------- the whole


@dataclass(frozen=True)
class Basics:
    """What can be said of a package without sciflow: `record` is empty when it cannot be read."""

    package_id: str
    record: dict[str, Any]
    digests: dict[str, str]
    findings: list[Finding]


def check_basics(package: Container, expect: str | None = None) -> Basics:
    """All checks of this file on an opened package."""
    try:
        integrity = check_integrity(package, expect)
        findings = integrity.findings
        record: dict[str, Any] = {}
        if BAGIT in package or RECORD in package:
            record, problems = read_record(package)
            findings = findings + problems
        if record:
            findings = findings + check_paths(package, record) + check_completeness(package, record)
            findings += check_consistency(package, record, integrity.digests)
        return Basics(integrity.package_id, record, integrity.digests, findings + check_hygiene(package))
    except UnsafeError as error:
        return Basics("", {}, {}, error.findings)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, csv.Error) as error:
        return Basics("", {}, {}, [_changed("", f"cannot be read: {error}")])


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  a text
    parser.add_argument("package", nargs="?", default=here, help="zip or folder (default: where this file is)")
    parser.add_argument("--expect", metavar="ID", help="the package id that the author published")
    chosen = parser.parse_args(arguments)
    try:
        with opened(chosen.package) as package:
            basics = check_basics(package, chosen.expect)
    except UnsafeError as error:
        basics = Basics("", {}, {}, error.findings)
    except OSError as error:
        parser.error(f"cannot read {chosen.package}: {error.strerror or error}")
    for finding in basics.findings[:_MOST_NAMED]:
        print(finding)  # noqa: T201  a program that talks
    if len(basics.findings) > _MOST_NAMED:
        print(f"... and {len(basics.findings) - _MOST_NAMED:,} more")  # noqa: T201  same
    code = exit_code(basics.findings)
    words = {OK: "unchanged and complete", UNSOUND: "NOT SAFE OR CHANGED", INCOMPLETE: "INCOMPLETE OR INCONSISTENT"}
    name = os.path.basename(os.path.abspath(chosen.package))  # noqa: PTH100, PTH119  a text
    print(f"{name}: {words.get(code, 'CANNOT BE CHECKED')}")  # noqa: T201  same
    if basics.package_id:
        print(f"package id: {basics.package_id}")  # noqa: T201  same
    return code


if __name__ == "__main__":
    sys.exit(main())
