"""Write a recipe as TOML, every default written out, so that a person reads what is signed."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from appliance.schema.recipe import Recipe


def render(recipe: Recipe) -> str:
    """Give the text; read again it is the same recipe."""
    tree = msgspec.to_builtins(recipe, str_keys=True)
    return "\n".join(_table("", tree)).lstrip("\n") + "\n"


def flat(recipe: Recipe) -> dict[str, str]:
    """Give every value of a recipe by its dotted key, as TOML writes it."""
    return dict(_leaves("", msgspec.to_builtins(recipe, str_keys=True)))


def _table(path: str, table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if value is not None and not _is_table(value):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        inner = f"{path}.{_key(key)}" if path else _key(key)
        if isinstance(value, dict):
            yield from ("", f"[{inner}]")
            yield from _table(inner, value)
        elif _is_table(value):
            for item in value:
                yield from ("", f"[[{inner}]]")
                yield from _row(item)


def _row(table: Mapping[str, Any]) -> Iterator[str]:
    """Write one of several tables of a name; what it holds stands in braces."""
    for key, value in table.items():
        if value is not None:
            yield f"{_key(key)} = {_value(value)}"


def _leaves(path: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{_key(key)}" if path else _key(key), inner)
    elif _is_table(value):
        for item in value:
            yield from _leaves(f"{path}.{item.get('name', '')}", item)
    elif value is not None:
        yield path, _value(value)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list | tuple) and bool(value) and isinstance(value[0], dict))


def _key(key: str) -> str:
    bare = key.replace("-", "").replace("_", "")
    return key if bare.isascii() and bare.isalnum() else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{_key(key)} = {_value(inner)}' for key, inner in value.items())} }}"
    return str(value)


def _number(value: float) -> str:
    """Write the shortest text that reads back as the same number; TOML wants a point or an exponent, and says inf."""
    text = repr(value)
    return text.replace("e", ".0e") if "e" in text and "." not in text else text


def _text(value: str) -> str:
    """Write a basic string: JSON's escapes are TOML's too, and DEL must be one."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
