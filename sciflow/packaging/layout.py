"""The names inside a package: where each part stands, and which checks and readers may rely on."""

from __future__ import annotations

from typing import Final

PACKAGE_SCHEMA: Final = 2
"""Version of `RECORD` and of this layout; it rises when a name changes its meaning or goes away."""

# ------------------------------------------------------------------------------- tag files, beside the payload
README: Final = "README.md"
CRATE: Final = "ro-crate-metadata.json"
BAGIT: Final = "bagit.txt"
BAG_INFO: Final = "bag-info.txt"
MANIFEST: Final = "manifest-sha256.txt"
TAG_MANIFEST: Final = "tagmanifest-sha256.txt"
FETCH: Final = "fetch.txt"
VERIFIER: Final = "verify.py"
RECORD: Final = "sciflow-package.json"
CITATION: Final = "CITATION.cff"
LICENSE: Final = "LICENSE"
ZENODO: Final = ".zenodo.json"

FIRST: Final = (README, CRATE)
"""The members that stand first in the zip, so that they are found without reading the rest; others follow by name."""

# ------------------------------------------------------------------------------------------------- the payload
PAYLOAD: Final = "data/"
CODE: Final = "data/code"
WORKFLOW: Final = "data/workflow"
INPUTS: Final = "data/inputs"
ENVIRONMENT: Final = "data/environment"
RESULTS: Final = "data/results"
RECORDS: Final = "data/records"
ARTIFACTS: Final = "data/artifacts"
FIGURES: Final = "data/figures"
PROVENANCE: Final = "data/provenance"

DEFINITION: Final = f"{WORKFLOW}/definition.json"
SWEEP: Final = f"{WORKFLOW}/sweep.json"
SPACE: Final = f"{WORKFLOW}/space.json"

EXACT_REQUIREMENTS: Final = f"{ENVIRONMENT}/requirements.exact.txt"
REQUIREMENTS: Final = f"{ENVIRONMENT}/requirements.txt"
PYLOCK: Final = f"{ENVIRONMENT}/pylock.toml"
CONDA: Final = f"{ENVIRONMENT}/environment.yml"
WHEELS: Final = f"{ENVIRONMENT}/wheels"
FOUND: Final = f"{ENVIRONMENT}/found"
"""Lock files of the project as they were found, each under its own name."""

RESULTS_FILE: Final = f"{RESULTS}/results.h5"
TABLE: Final = f"{RESULTS}/results.csv"
DICTIONARY: Final = f"{RESULTS}/datapackage.json"
FAILURES: Final = f"{RESULTS}/failures.csv"

REPORT: Final = f"{FIGURES}/report.html"

GIT: Final = f"{PROVENANCE}/git.json"
PATCH: Final = f"{PROVENANCE}/uncommitted.patch"
PROV: Final = f"{PROVENANCE}/prov.json"
TRACES: Final = f"{PROVENANCE}/traces.jsonl"

# what lies below RECORDS is a sweep directory: definition/000001.json, environment/<digest>.json,
# sessions/000001.json, segments/<name>.seg; its sweep.json is a copy of SWEEP

# -------------------------------------------------------------------------------------------------- the profiles
RO_CRATE: Final = "https://w3id.org/ro/crate/1.1"
PROCESS_RUN: Final = "https://w3id.org/ro/wfrun/process/0.5"
WORKFLOW_RUN: Final = "https://w3id.org/ro/wfrun/workflow/0.5"
PROVENANCE_RUN: Final = "https://w3id.org/ro/wfrun/provenance/0.5"
WORKFLOW_CRATE: Final = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"

# ------------------------------------------------------------------------------------------------------ limits
MOST_VARIANTS_WITH_ACTIONS: Final = 500
"""In larger sweeps the crate describes all variants as one action, and the table tells them apart."""

MOST_INPUT_BYTES: Final = 100 << 20
"""Of one input file; larger ones are listed with their digest, and stay where they are."""


def environment_file(digest: str) -> str:
    """Where the description of the environment with this digest stands."""
    return f"{ENVIRONMENT}/{digest}.json"
