"""Hold what a layout's reader found, before groups and remarks of the whole set are known."""

from collections.abc import Iterable, Iterator
from os import scandir
from pathlib import Path

from msgspec import Struct

from appliance.datasets.header import SUFFIXES, Header, read_header
from appliance.datasets.sample import Remark, Sample, Split
from appliance.schema.errors import ConfigError

SPLITS = {
    "train": Split.TRAIN,
    "training": Split.TRAIN,
    "val": Split.VALIDATION,
    "valid": Split.VALIDATION,
    "validation": Split.VALIDATION,
    "test": Split.TEST,
    "testing": Split.TEST,
}
"""Names of folders and files, in small letters, that say what their pictures are for."""


class Found(Struct, frozen=True):
    """Hold a layout as it is on disk; samples have no group yet."""

    layout: str
    kinds: tuple[str, ...]
    """Kinds of defects or objects in the order of the files; `good` and `background` are not among them."""
    samples: tuple[Sample, ...]
    remarks: tuple[Remark, ...] = ()


class Headers:
    """Read each picture's header once, and remember which pictures are damaged."""

    def __init__(self) -> None:
        self._known: dict[Path, Header | None] = {}
        self.damaged: dict[Path, str] = {}
        """What is wrong with a picture, one line each."""

    def of(self, path: Path) -> Header | None:
        """Give the header of a picture; None when it is damaged or too large."""
        if path not in self._known:
            try:
                self._known[path] = read_header(path)
            except ConfigError as cause:
                self._known[path] = None
                self.damaged[path] = str(cause)
        return self._known[path]


class Notes:
    """Collect the samples that remarks are about, one remark per kind."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, bool, str], dict[str, None]] = {}
        self._said: list[Remark] = []

    def add(self, kind: str, name: str, text: str, *, refused: bool = False) -> None:
        """Take one name; `text` says what follows the count, for example `pictures are damaged; copy them again`."""
        self._names.setdefault((kind, refused, text), {})[name] = None

    def say(self, kind: str, text: str, names: Iterable[str] = (), *, refused: bool = False) -> None:
        """Take a remark that counts nothing."""
        self._said.append(Remark(kind, refused, text, tuple(names)))

    def remarks(self) -> tuple[Remark, ...]:
        """Give them in the order in which they came up, those that count names first."""
        counted = (
            Remark(kind, refused, f"{len(names)} {text}", tuple(sorted(names)))
            for (kind, refused, text), names in self._names.items()
        )
        return (*counted, *self._said)


def text_of(path: Path) -> str:
    """Give a text file's content; ConfigError when it is not UTF-8."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise ConfigError(f"{path}: is not UTF-8 from byte {cause.start} on; save it as UTF-8") from cause


def pictures_under(folder: Path) -> Iterator[Path]:
    """Yield the picture files of a folder and those below it, by name; hidden ones are left alone."""
    for entry in sorted(scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith((".", "__")):
            continue
        if entry.is_symlink() and folder.resolve().is_relative_to(Path(entry.path).resolve()):
            continue  # it leads back to where it lies
        if entry.is_dir():
            yield from pictures_under(Path(entry.path))
        elif is_picture(entry.name):
            yield Path(entry.path)


def is_picture(name: str) -> bool:
    """Say whether a file's name is that of a picture."""
    return name[name.rfind(".") :].lower() in SUFFIXES


def folders_in(folder: Path) -> list[Path]:
    """Give the folders in a folder by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def split_of(name: str) -> Split:
    """Give the split that a folder's or file's name stands for, by its words."""
    words = name.lower().replace("-", "_").replace(".", "_").split("_")
    return next((SPLITS[word] for word in reversed(words) if word in SPLITS), Split.ANY)
