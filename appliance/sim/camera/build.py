"""Build the simulated camera, a GenTL producer, from its C sources."""

import os
from collections.abc import Sequence
from pathlib import Path

from appliance.build_c import compile_shared

HERE = Path(__file__).parent
DEFAULT_OUT = HERE.parents[2] / "build" / "sim.cti"
EMBEDDED = ("camera.xml", "host.xml")


def build(out: Path = DEFAULT_OUT, cc: Sequence[str] | None = None) -> Path:
    """Compile the producer into `out` unless it is up to date, and return `out`.

    `cc` is the compiler's command, by default the system's or the `ziglang` wheel's. The descriptions in XML are
    embedded: the product is one file that needs only the C library. Raises CompileError.
    """
    embedded = out.with_name(f"{out.name}.xml") / "xml.c"
    text = "\n".join(["#include <stddef.h>", *(_array(HERE / name) for name in EMBEDDED), ""])
    if not embedded.exists() or embedded.read_text() != text:
        embedded.parent.mkdir(parents=True, exist_ok=True)
        draft = embedded.with_suffix(f".{os.getpid()}")  # another process may be building too
        draft.write_text(text)
        draft.replace(embedded)
    return compile_shared([*sorted(HERE.glob("*.c")), embedded], out, includes=[HERE, HERE.parent], cc=cc)


def _array(path: Path) -> str:
    name, data = path.name.replace(".", "_"), path.read_bytes()
    rows = [",".join(map(str, data[at : at + 32])) for at in range(0, len(data), 32)]
    body = ",\n".join(rows)
    return f"const unsigned char {name}[] = {{\n{body}}};\nconst size_t {name}_bytes = sizeof {name};"


if __name__ == "__main__":
    build()
