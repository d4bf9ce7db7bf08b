"""Write both ends of the MCU protocol from messages.toml: messages.py and firmware/core/messages.h."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
STRUCT_CODES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "i32": "i", "i64": "q"}
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "i32": 4, "i64": 8}
Table = dict[str, Any]


def main() -> None:
    """Write both generated files in place."""
    for path, text in generated().items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path}\n")


def generated() -> dict[Path, str]:
    """Give path and text of every generated file, without writing."""
    source = tomllib.loads((HERE / "messages.toml").read_text(encoding="utf-8"))
    return {
        HERE / "messages.py": python_text(source),
        HERE / "firmware" / "core" / "messages.h": c_text(source),
    }


def schema_hash(source: Table) -> int:
    """Give the u32 that both ends compare: it changes with any name, id, type or value, and not with the docs."""
    shape = {
        "enums": {name: enum["values"] for name, enum in source["enums"].items()},
        "messages": [
            [m["name"], m["id"], m["direction"], bool(m.get("reliable")), bool(m.get("event"))]
            + [[f["name"], f["type"], f.get("enum", "")] for f in m["fields"]]
            for m in source["messages"]
        ],
    }
    canonical = json.dumps(shape, sort_keys=True, separators=(",", ":")).encode()
    return int.from_bytes(hashlib.sha256(canonical).digest()[:4], "little")


# ---- Python ----------------------------------------------------------------------------------------------------------


def python_text(source: Table) -> str:
    """Give the text of messages.py."""
    messages = source["messages"]
    lines = [
        '"""Messages between host and MCU. Generated from messages.toml by generate.py; do not edit."""',
        "",
        "from __future__ import annotations",
        "",
        "import struct",
        "from collections.abc import Callable",
        "from enum import IntEnum",
        "",
        "from msgspec import Struct",
        "",
        f"PROTOCOL_VERSION = {source['version']}",
        f"SCHEMA_HASH = 0x{schema_hash(source):08X}",
    ]
    for name, enum in source["enums"].items():
        lines += ["", "", f"class {name}(IntEnum):", f'    """{enum["doc"]}"""', ""]
        lines += [f"    {value.upper()} = {number}" for number, value in enumerate(enum["values"])]
    for message in messages:
        lines += ["", "", *_python_struct(message)]
    lines += ["", "", "Message = ("]
    lines += [f"    {'| ' if i else ''}{m['name']}" for i, m in enumerate(messages)]
    lines += [")", "Event = " + " | ".join(m["name"] for m in messages if m.get("event"))]
    lines += [_type_tuple("RELIABLE", "reliable", messages), _type_tuple("EVENTS", "event", messages)]
    for message in messages:
        if message["fields"]:
            lines.append(f'_{_upper(message["name"])} = struct.Struct("<{_codes(message)}")')
    for message in messages:
        lines += ["", "", *_python_pack(message)]
        lines += ["", "", *_python_unpack(message)]
    lines += ["", "", "IDS: dict[type, int] = {"]
    lines += [f"    {m['name']}: {m['id']}," for m in messages]
    lines += ["}", "PACK: dict[type, Callable[..., bytes]] = {"]
    lines += [f"    {m['name']}: _pack_{_snake(m['name'])}," for m in messages]
    lines += ["}", "UNPACK: dict[int, Callable[[bytes], Message]] = {"]
    lines += [f"    {m['id']}: _unpack_{_snake(m['name'])}," for m in messages]
    return "\n".join([*lines, "}", ""])


def _type_tuple(name: str, key: str, messages: list[Table]) -> str:
    return f"{name} = ({', '.join(m['name'] for m in messages if m.get(key))})"


def _python_struct(message: Table) -> list[str]:
    head = [f"class {message['name']}(Struct, frozen=True):"]
    if not message["fields"]:
        return [*head, f'    """{message["doc"]}"""']
    lines = [*head, f'    """{message["doc"]}', ""]
    lines += [f"    {f['name']}: {f['type']}, {f['doc']}" for f in message["fields"]]
    lines += ['    """', ""]
    for field in message["fields"]:
        default = f" = {field['default']}" if "default" in field else ""
        lines.append(f"    {field['name']}: {_python_type(field)}{default}")
    return lines


def _python_type(field: Table) -> str:
    _, count = _split(field["type"])
    return "tuple[" + ", ".join(["int"] * count) + "]" if count > 1 else str(field.get("enum", "int"))


def _python_pack(message: Table) -> list[str]:
    name = message["name"]
    if not message["fields"]:
        return [f"def _pack_{_snake(name)}(_: {name}) -> bytes:", '    return b""']
    lines = [f"def _pack_{_snake(name)}(m: {name}) -> bytes:", f"    return _{_upper(name)}.pack("]
    lines += [f"        {'*' if _split(f['type'])[1] > 1 else ''}m.{f['name']}," for f in message["fields"]]
    return [*lines, "    )"]


def _python_unpack(message: Table) -> list[str]:
    name = message["name"]
    if not message["fields"]:
        return [
            f"def _unpack_{_snake(name)}(payload: bytes) -> {name}:",
            "    if payload:",
            f'        raise struct.error("{name} carries no fields")',
            f"    return {name}()",
        ]
    lines = [
        f"def _unpack_{_snake(name)}(payload: bytes) -> {name}:",
        f"    v = _{_upper(name)}.unpack(payload)",
        f"    return {name}(",
    ]
    at = 0
    for field in message["fields"]:
        _, count = _split(field["type"])
        if count > 1:
            value = "(" + ", ".join(f"v[{at + i}]" for i in range(count)) + ")"
        else:
            value = f"{field['enum']}(v[{at}])" if "enum" in field else f"v[{at}]"
        lines.append(f"        {value},")
        at += count
    return [*lines, "    )"]


def _codes(message: Table) -> str:
    return "".join(STRUCT_CODES[_split(f["type"])[0]] * _split(f["type"])[1] for f in message["fields"])


# ---- C ---------------------------------------------------------------------------------------------------------------


def c_text(source: Table) -> str:
    """Give the text of firmware/core/messages.h."""
    lines = [
        "/* Messages between host and MCU. Generated from messages.toml by generate.py; do not edit. */",
        "#ifndef MESSAGES_H",
        "#define MESSAGES_H",
        "#include <stdint.h>",
        "",
        f"#define PROTOCOL_VERSION {source['version']}u",
        f"#define SCHEMA_HASH 0x{schema_hash(source):08X}u",
        "",
    ]
    for name, enum in source["enums"].items():
        prefix = _snake(name).upper()
        values = ", ".join(f"{prefix}_{value.upper()} = {number}" for number, value in enumerate(enum["values"]))
        lines += [f"/* {enum['doc']} */", f"enum {_snake(name)} {{ {values} }};", ""]
    ids = ", ".join(f"ID_{_upper(m['name'])} = {m['id']}" for m in source["messages"])
    lines += [f"enum message_id {{ {ids} }};", "", *_C_BYTES, ""]
    for message in source["messages"]:
        lines += _c_message(message)
    return "\n".join([*lines, "#endif", ""])


_C_BYTES = [
    "static inline uint8_t *put_uint(uint8_t *p, uint64_t v, unsigned bytes)",
    "{",
    "    while (bytes--) { *p++ = (uint8_t)v; v >>= 8; }",
    "    return p;",
    "}",
    "",
    "static inline uint64_t get_uint(const uint8_t **p, unsigned bytes)",
    "{",
    "    uint64_t v = 0;",
    "    for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)*(*p)++ << (8 * i);",
    "    return v;",
    "}",
]


def _c_message(message: Table) -> list[str]:
    name, fields = _snake(message["name"]), message["fields"]
    size = sum(SIZES[_split(f["type"])[0]] * _split(f["type"])[1] for f in fields)
    lines = [f"/* {message['doc']} */", f"#define {_upper(message['name'])}_BYTES {size}u"]
    if not fields:
        return [*lines, ""]
    lines.append(f"struct {name} {{")
    for field in fields:
        base, count = _split(field["type"])
        lines.append(f"    {_c_type(base)} {field['name']}{f'[{count}]' if count > 1 else ''}; /* {field['doc']} */")
    lines += ["};", f"static inline void {name}_write(uint8_t *p, const struct {name} *m)", "{"]
    for field, target, base in _c_elements(fields):
        cast = f"(u{_c_type(base)})" if base.startswith("i") else ""
        lines.append(f"    p = put_uint(p, {cast}m->{field}{target}, {SIZES[base]});")
    lines += ["    (void)p;", "}", f"static inline void {name}_read(const uint8_t *p, struct {name} *m)", "{"]
    for field, target, base in _c_elements(fields):
        lines.append(f"    m->{field}{target} = ({_c_type(base)})get_uint(&p, {SIZES[base]});")
    return [*lines, "}", ""]


def _c_elements(fields: list[Table]) -> list[tuple[str, str, str]]:
    out = []
    for field in fields:
        base, count = _split(field["type"])
        out += [(field["name"], f"[{i}]" if count > 1 else "", base) for i in range(count)]
    return out


def _c_type(base: str) -> str:
    return ("uint" if base[0] == "u" else "int") + base[1:] + "_t"


def _split(kind: str) -> tuple[str, int]:
    base, _, count = kind.partition("[")
    return base, int(count.rstrip("]") or 1) if count else 1


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _upper(name: str) -> str:
    return _snake(name).upper()


if __name__ == "__main__":
    main()
