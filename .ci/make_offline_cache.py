"""Fill the HTTP cache of rocrate-validator, so that it works where only a package index can be reached.

usage: python make_offline_cache.py CACHE_PATH

It validates against JSON-LD contexts that it would fetch. The context of RO-Crate 1.1 is inside the wheel of rocrate
0.14.0 (later ones have that of 1.3), which pip fetches; the terms of workflow runs are few and stand here.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import requests
from requests_cache import CachedSession
from urllib3.response import HTTPResponse

WHEEL = "rocrate==0.14.0"
CRATE = "https://w3id.org/ro/crate/1.1/context"
RUNS = "https://w3id.org/ro/terms/workflow-run"
TERMS = (
    "ParameterConnection ContainerImage DockerImage SIFImage connection sourceParameter targetParameter",
    "md5 sha1 sha256 sha512 environment registry tag containerImage resourceUsage",
)


def main(cache: str) -> None:
    """Write the cache."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, WHEEL]
        subprocess.run(command, check=True)  # noqa: S603  pip itself
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            crate = wheel.read("rocrate/data/ro-crate.jsonld")
    runs = json.dumps({"@context": {term: f"{RUNS}#{term}" for term in " ".join(TERMS).split()}}).encode()
    session = CachedSession(cache_name=cache, backend="sqlite", expire_after=-1, allowable_methods=("GET",))
    for url, body in {CRATE: crate, f"{RUNS}/context": runs, RUNS: runs}.items():
        keep(session, url, body)


def keep(session: CachedSession, url: str, body: bytes) -> None:
    """Put an answer into the cache as if the network had given it."""
    asked = session.prepare_request(
        requests.Request("GET", url, headers={"Accept": "application/ld+json, application/json"})
    )
    raw = HTTPResponse(
        body=io.BytesIO(body),
        status=200,
        headers={"Content-Type": "application/ld+json"},
        preload_content=False,
        request_url=url,
    )
    answer = requests.adapters.HTTPAdapter().build_response(asked, raw)
    answer._content = body  # noqa: SLF001  there is no other way
    session.cache.save_response(answer)


if __name__ == "__main__":
    main(sys.argv[1])
