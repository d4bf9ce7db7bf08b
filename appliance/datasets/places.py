"""Find the files that exports name: they state paths of other machines, with other folders before them."""

from collections import defaultdict
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from appliance.datasets.found import Notes, pictures_under, split_of
from appliance.datasets.sample import Split

NO_PICTURES = ("templates/", "annotations/", "masks/", "ground_truth/")
"""Folders whose pictures are truths of other pictures."""


class Places:
    """Know every picture below a folder by its file name."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for path in pictures_under(root):
            name = path.relative_to(root).as_posix()
            if not name.startswith(NO_PICTURES):
                self._by_name[path.name].append(name)

    def path(self, name: str) -> Path:
        """Give the file of a name under the root."""
        return self._root / name

    def one(self, stated: str, split: Split, notes: Notes) -> str | None:
        """Give the name under the root that fits a stated path; where none or several do, note it and give None."""
        names = self._best(stated, split) or self._best(unquote(stated.partition("?d=")[2]), split)
        if len(names) == 1:
            return names[0]
        if names:
            text = "listed names fit several files and are left out; write their whole paths"
            notes.add("duplicate name", stated, text)
        else:
            text = "listed pictures are not in the folder and left out; copy them to images/"
            notes.add("missing picture", stated, text)
        return None

    def _best(self, stated: str, split: Split) -> list[str]:
        """Give the names that share the longest end with a stated path, then those in the folder of the split."""
        words = PurePosixPath(stated.replace("\\", "/")).parts
        candidates = self._by_name.get(words[-1], []) if words else []
        if len(candidates) < 2:
            return candidates
        shared = [_shared_end(PurePosixPath(name).parts, words) for name in candidates]
        best = [name for name, length in zip(candidates, shared, strict=True) if length == max(shared)]
        of_split = [name for name in best if split in {split_of(word) for word in PurePosixPath(name).parts[:-1]}]
        return of_split if split and of_split else best


def _shared_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return length
