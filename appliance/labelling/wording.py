"""Say the answers of the labelling commands in lines for a person; pure.

answer: what `--json` writes.
"""

from collections.abc import Iterator, Mapping
from typing import Any


def overview_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say how the labelled parts stand."""
    told = ", ".join(f"{count} {state}" for state, count in answer["states"].items() if count)
    audits = answer["audits"]
    yield f"{answer['waiting']} parts wait for a decision; {answer['labelled']} labelled parts: {told or 'none'}"
    yield f"{audits['drawn']} labels drawn for audit, {audits['done']} done"
    for row in answer["disputed"]:
        asked = f"asked at level {row['level']}" if row["level"] else "nobody is above who could not say"
        yield f"  {row['state']:<9} {row['part']}  {asked}"


def audit_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say how the audit stands: strata, errors, what the model's answer does to people, times, flags."""
    audit = answer["audit"]
    counts = f"{audit['labels']} labels, {audit['drawn']} drawn, {audit['done']} done"
    yield f"audit: {counts}, {share(audit['agreed'])} agree"
    for row in audit["strata"]:
        told = f"{row['labels']} labels, {row['drawn']} drawn, {row['done']} done, {share(row['agreed'])} agree"
        yield f"  {row['person']:<12} {row['kind']:<12} {told}"
    wrong = [cell for cell in answer["error_matrix"] if cell["said"] != cell["truth"]]
    yield f"{len(wrong)} kinds of error among the answers whose truth is known" + (":" if wrong else "")
    for cell in wrong:
        yield f"  {cell['person']:<12} takes {cell['truth']} for {cell['said']}: {share(cell['share'])}"
    led = answer["anchoring"]
    if led["difference"] is not None:
        yield (
            f"with the model's answer shown {share(led['shown'])} agree with it, hidden {share(led['hidden'])}: "
            f"difference {led['difference']:+.1%}, 95 % interval {led['low']:+.1%} to {led['high']:+.1%}"
        )
    for row in answer["times"]:
        if row["n"]:
            least, most = row["expected_s"]
            took = f"median {row['median_s']:.1f} s, expected {least:g} to {most:g}"
            yield f"level {row['level']}: {row['n']} labels, {took}"
    for flag in answer["flags"]:
        if flag["fresh"]:
            yield f"FLAG  {flag['text']}"


def agreement_lines(answer: Mapping[str, Any]) -> Iterator[str]:
    """Say how far people agree, whether that is proven, and what is missing."""
    gate, alpha = answer["gate"], answer["alpha"]
    how = "that agree as well" if answer["observed"]["n"] else "that all agree"
    missing = f", {gate['more']} more parts {how} would prove it" if gate["more"] else ""
    state = "proven" if gate["passes"] else "not proven"
    told = f"{share(answer['observed'])} of parts labelled by several people agree"
    yield f"{told}; over {gate['limit']:.0%}: {state}{missing}"
    yield f"Krippendorff's alpha {coefficient(alpha)}, over {alpha['units']} parts"
    for name, row in answer["per_class"].items():
        yield f"  {name:<12} {share(row['agreement'])}, alpha {coefficient(row['alpha'])}"
    for name in gate["refuted_classes"]:
        yield f"  {name}: agreement lies below {gate['limit']:.0%}; settle what {name} means and train on it"
    for row in answer["pairs"]:
        kappa = "not defined" if row["kappa"] is None else f"{row['kappa']:.3f}"
        yield f"  {' and '.join(row['people'])}: kappa {kappa}, {row['parts']} parts"
    if not answer["observed"]["n"]:
        yield "no part was labelled by two people without seeing each other's answer; do the audits of `label queue`"


def share(told: Mapping[str, Any]) -> str:
    """Say a rate with its count and interval."""
    if told["value"] is None:
        return "0 of 0"
    return f"{told['k']} of {told['n']} ({told['value']:.1%}, 95 % interval {told['low']:.1%} to {told['high']:.1%})"


def coefficient(told: Mapping[str, Any]) -> str:
    """Say a coefficient of agreement with its interval."""
    if told["value"] is None:
        return "not defined"
    found = told["interval"]
    return f"{told['value']:.3f}" + (f" ({found['low']:.3f} to {found['high']:.3f})" if found else "")
