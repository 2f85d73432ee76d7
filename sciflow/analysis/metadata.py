"""Metadata of a sweep in words, and in what its environments differ."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sciflow.store.origins import Origin


_MOST: Final = 20  # input files, jobs and sessions that are listed
_LONGEST: Final = 60  # characters of a value in a line


def differences(environments: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """In what some environments differ.

    Parameters
    ----------
    environments
        By digest.

    Returns
    -------
    dict
        For each fact that is not the same everywhere, named like ``"packages.numpy"``: digest → value; None where an
        environment does not have it. Empty where there is one environment.
    """
    flat = {digest: dict(_flat(facts)) for digest, facts in environments.items()}
    names = dict.fromkeys(name for facts in flat.values() for name in facts)
    found = {name: {digest: facts.get(name) for digest, facts in flat.items()} for name in names}
    return {name: values for name, values in found.items() if len({_text(one) for one in values.values()}) > 1}


def _flat(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def provenance_text(
    metadata: Mapping[str, Any],
    n_variants: Mapping[str, int],
    differing: Mapping[str, Mapping[str, Any]],
    origins: Sequence[Origin] = (),
) -> str:
    """Where the numbers of a sweep come from, in a few lines.

    Parameters
    ----------
    metadata : as `sciflow.store.description.describe_sweep` gives it
    n_variants : variants whose results were computed in each environment, by digest
    differing : as `differences` gives it
    origins : of the results that count; without any, code and inputs are those that *metadata* has
    """
    counting = [one for one in origins if one.n_variants]
    environments = metadata["environments"]
    inputs = _input_lines(counting) or [input_words(one) for one in metadata["inputs"]]
    rows = [("code", words) for words in _code_lines(counting) or [code_words(metadata["code"])]]
    rows += [("input", words) for words in inputs[:_MOST]]
    rows += [("", f"and {len(inputs) - _MOST:,} further files")] if len(inputs) > _MOST else []
    for digest, n in n_variants.items():
        facts = {"digest": digest, **environments.get(digest, {})}
        rows.append(("environment", f"{environment_words(facts)}: {n:,} variants"))
    for name, values in differing.items():
        each = "; ".join(f"{digest[:12]}: {_short(value)}" for digest, value in values.items())
        rows.append(("differs", f"{name}: {each}"))
    jobs = metadata["jobs"]
    rows += [("jobs", f"{len(jobs):,}: {', '.join(one['job'] for one in jobs[:_MOST])}")] if jobs else []
    rows.append(("used", f"{metadata['core_hours']:.3g} core-hours{_energy_words(metadata)}"))
    for one in metadata["sessions"][-_MOST:]:
        until = f" until {one['ended']}" if "ended" in one else ""
        rows.append(
            (f"session {one['session']}", f"on {one.get('host')}, {one.get('since')}{until}{changed_words(one)}")
        )
    return "\n".join(f"{label:<13}{words}" for label, words in rows)


def _code_lines(origins: Sequence[Origin]) -> list[str]:
    """The distinct codes that results were made by, oldest first; if there are several, of how many variants."""
    counts: Counter[str] = Counter()
    for one in origins:
        counts[code_words(one.code, is_current=one.is_current_code)] += one.n_variants
    return [f"{words}: {n:,} variants" for words, n in counts.items()] if len(counts) > 1 else list(counts)


def _input_lines(origins: Sequence[Origin]) -> list[str]:
    """The distinct inputs; if not all results were made from one, of how many variants."""
    counts: Counter[str] = Counter()
    for one in origins:
        counts.update(dict.fromkeys(map(input_words, one.inputs), one.n_variants))
    n_variants = sum(one.n_variants for one in origins)
    return [words if n == n_variants else f"{words}: {n:,} variants" for words, n in counts.items()]


def code_words(code: Mapping[str, Any], *, is_current: bool = True) -> str:
    """The state of the code in one line."""
    repository = cast("Mapping[str, Any] | None", code.get("repository"))
    if repository is None:
        words = f"no repository; frozen files {str(code.get('tree', 'unknown'))[:12]} in code/"
    else:
        words = f"{repository.get('name')} at {str(repository.get('commit'))[:12]}"
        words += f" ({repository['branch']})" if repository.get("branch") else ""
        words += f", tree {str(repository['tree'])[:12]}" if repository.get("tree") else ""
        words += ", with uncommitted changes" if repository.get("dirty") else ""
        words += f", {repository['n_untracked']} untracked" if repository.get("n_untracked") else ""
    return words if is_current else f"{words}; older than the sweep's newest code"


def input_words(entry: Mapping[str, Any]) -> str:
    """A declared input in one line."""
    if entry.get("sha256"):
        files = f" ({entry['n_files']:,} files)" if entry.get("n_files") else ""
        made_by = entry.get("made_by")
        origin = f", artifact {made_by['artifact']} of sweep {made_by['workflow']}" if made_by else ""
        return f"{entry['name']}{files}, sha256 {entry['sha256'][:16]}…{origin}"
    return f"{entry['name']}, known by its size and time of modification only: {entry.get('size_bytes'):,} bytes"


def _energy_words(metadata: Mapping[str, Any]) -> str:
    """The energy, as far as it was measured, and by what."""
    kwh = metadata.get("energy_kwh")
    if kwh is None:
        return ""
    sessions = metadata["sessions"]
    measured = [one for one in sessions if "energy_kwh" in one]
    how = " and ".join(dict.fromkeys(f"codecarbon {one['energy']['codecarbon']}" for one in measured))
    some = f" in {len(measured):,} of {len(sessions):,} sessions" if len(measured) < len(sessions) else ""
    return f", {kwh:.3g} kWh{some} (estimated by {how} for the sweep's own processes)"


def changed_words(session: Mapping[str, Any]) -> str:
    """Which inputs changed while a session ran, and until when they had not; empty if none did."""
    if not session.get("changed_inputs"):
        return ""
    until = session.get("inputs_unchanged_until")
    known = f" (unchanged until {until})" if until else ""
    return f"; while it ran, inputs changed: {', '.join(session['changed_inputs'])}{known}"


def environment_words(environment: Mapping[str, Any]) -> str:
    """An environment in one line."""
    python, machine = environment.get("python", {}), environment.get("machine", {})
    packages = environment.get("packages", {})
    return (
        f"{str(environment.get('digest'))[:12]}: Python {python.get('version')}, {len(packages)} packages, "
        f"{machine.get('cpu')}, {environment.get('system', {}).get('os')}"
    )


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return "absent" if value is None else text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
