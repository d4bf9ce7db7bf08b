"""Show a check's result to people and to programs."""

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from appliance.schema.errors import ConfigError
from appliance.schema.health import Component, Condition

SEVERITY = tuple(Condition)


def render(components: Sequence[Component]) -> str:
    """Give a table, the worst last so that it stands next to the prompt; a remedy has its own line."""
    wide = max((len(item.name) for item in components), default=0)
    margin = " " * (wide + 12)
    lines = []
    for item in sorted(components, key=lambda item: SEVERITY.index(item.condition)):
        state = item.condition.value
        lines.append(
            f"{state if item.condition is Condition.OK else state.upper():<10} {item.name:<{wide}} {item.cause}"
        )
        if item.remedy:
            lines.append(f"{margin}-> {item.remedy}")
    bad = len(findings(components))
    lines.append(
        f"{bad} of {len(components)} components need attention" if bad else f"all {len(components)} components are ok"
    )
    return "\n".join(line.rstrip() for line in lines) + "\n"


def to_json(components: Sequence[Component]) -> bytes:
    """Give one JSON object: `ok`, and `components` in the order they were looked at."""
    return msgspec.json.encode({"ok": not findings(components), "components": list(components)}) + b"\n"


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; ConfigError when it cannot be written."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise ConfigError(f"--json {path}: cannot be written: {error.strerror}; choose another file") from error
    finally:
        draft.unlink(missing_ok=True)


def exit_code(components: Sequence[Component]) -> int:
    """Give 0 when everything is ok, 1 when something needs attention."""
    return 1 if findings(components) else 0


def findings(components: Sequence[Component]) -> list[Component]:
    """Give what is not ok."""
    return [item for item in components if item.condition is not Condition.OK]
