"""Write `CONFIG.md`, the reference of the station file, from the Structs in `config.py`.

`python -m appliance.config_reference` writes it, `--check` only compares; then 1 means that it is stale.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import inspect

from appliance.config import Config

PAGE = Path(__file__).with_name("CONFIG.md")
HEAD = """# Station file

Generated from `appliance/config*.py` by `python -m appliance.config_reference`; change it there.
A key that is not listed here, has another type or lies out of range is refused with its path. A range's end is inside
where `[` or `]` stands. Nothing is taken from the environment, so the digest of this file and its recipe says how a
station ran.
"""
PIPE = "\\|"
"""A bar inside a cell of a table, also inside code."""

COLUMNS = "| key | type | range | default | meaning, unit and reason |\n|---|---|---|---|---|\n"


def render() -> str:
    """Give the page's text."""
    return HEAD + "".join(_tables("", inspect.type_info(Config)))


def main() -> int:
    """Write the page or, with --check, say whether it is up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 when the page is stale")
    text = render()
    if not parser.parse_args().check:
        PAGE.write_text(text, "utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text("utf-8") == text:
        return 0
    sys.stderr.write(f"{PAGE.name}: stale against config.py; run python -m appliance.config_reference\n")
    return 1


def _tables(path: str, table: inspect.Type) -> Iterator[str]:
    """Describe a table's own keys, then its tables, depth first."""
    if not isinstance(table, inspect.StructType):
        return
    keys = [field for field in table.fields if _table(field.type) is None]
    if path:
        purpose = (table.cls.__doc__ or "").strip()
        yield f"\n## `[{path}]`\n\n{purpose}\n\n"
    if keys:
        yield COLUMNS + "".join(_row(field) for field in keys)
    for field in table.fields:
        inner = _table(field.type)
        if inner is not None:
            name = f"{field.encode_name}.NAME" if isinstance(_bare(field.type), inspect.DictType) else field.encode_name
            yield from _tables(f"{path}.{name}" if path else name, inner)


def _table(kind: inspect.Type) -> inspect.StructType | None:
    kind = _bare(kind)
    if isinstance(kind, inspect.DictType):
        kind = _bare(kind.value_type)
    return kind if isinstance(kind, inspect.StructType) else None


def _row(field: inspect.Field) -> str:
    kind = _bare(field.type)
    cells = (f"`{field.encode_name}`", _type(kind), _range(kind), _default(field), _reason(field.type))
    return f"| {' | '.join(cell.replace('|', PIPE) for cell in cells)} |\n"


def _bare(kind: inspect.Type) -> inspect.Type:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return kind


def _type(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.EnumType):
        return "one of"
    if isinstance(kind, inspect.DictType):
        return f"table of {_type(_bare(kind.value_type))}"
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_type(_bare(one)) for one in kind.types)
    names = {
        inspect.IntType: "integer",
        inspect.FloatType: "number",
        inspect.StrType: "text",
        inspect.BoolType: "true or false",
    }
    return names.get(type(kind), type(kind).__name__.removesuffix("Type").lower())


def _range(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.EnumType):
        return ", ".join(f"`{member.value}`" for member in kind.cls)
    if isinstance(kind, inspect.StrType):
        return f"`{kind.pattern}`" if kind.pattern else ""
    if not isinstance(kind, (inspect.IntType, inspect.FloatType)):
        return ""
    low = f"[{kind.ge:g}" if kind.ge is not None else f"({kind.gt:g}" if kind.gt is not None else "(-inf"
    high = f"{kind.le:.10g}]" if kind.le is not None else f"{kind.lt:.10g})" if kind.lt is not None else "inf)"
    return f"{low}, {high}"


def _default(field: inspect.Field) -> str:
    if field.required:
        return "must be given"
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return f"`{msgspec.json.encode(default).decode()}`"


def _reason(kind: inspect.Type) -> str:
    """Give the Meta description of a key; an outer one wins over that of a shared type."""
    while isinstance(kind, inspect.Metadata):
        if kind.extra_json_schema and "description" in kind.extra_json_schema:
            return str(kind.extra_json_schema["description"])
        kind = kind.type
    return ""


if __name__ == "__main__":
    sys.exit(main())
