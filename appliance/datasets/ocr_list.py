"""Read pictures of text with the text of each in a list."""

from pathlib import Path

from appliance.datasets.found import Found, Headers, Notes, is_picture, pictures_under, split_of, text_of
from appliance.datasets.sample import Sample

LAYOUT = "OCR list"


def fits_list(root: Path) -> bool:
    """Say whether there is a list of texts."""
    return bool(_lists(root))


def read_list(root: Path, headers: Headers) -> Found:  # noqa: ARG001  one form for all readers
    """Read `labels.txt` of lines `name<TAB>text`, or one such list per split as `labels_train.txt`."""
    notes = Notes()
    names = {path.relative_to(root).as_posix() for path in pictures_under(root)}
    samples: dict[str, Sample] = {}
    for path in _lists(root):
        split = split_of(path.stem)
        for number, line in enumerate(text_of(path).splitlines(), 1):
            stated, tab, text = line.partition("\t")
            if not line.strip():
                continue
            if not tab or not text.strip():
                notes.add(
                    "no text", f"{path.name}:{number}", "lines are no name, tab and text and are left out; mend them"
                )
                continue
            stated = stated.strip().replace("\\", "/")
            name = next((name for name in (f"images/{stated}", stated) if name in names), None)
            if name is None:
                notes.add("missing picture", stated, "listed pictures are not in images/ and left out; copy them there")
            elif name in samples and (samples[name].text, samples[name].split) != (text.strip(), split):
                refused = samples[name].split is not split
                told = "pictures are listed twice, with other text or for another split; keep one line"
                notes.add("split leakage" if refused else "duplicate name", name, told, refused=refused)
            else:
                samples[name] = Sample(name, root / name, "", split, text=text.strip())
    for name in sorted(names - samples.keys()):
        if name.startswith("images/") and is_picture(name):
            notes.add("no text", name, "pictures are in no list and left out; add a line for each")
    return Found(LAYOUT, (), tuple(samples.values()), notes.remarks())


def _lists(root: Path) -> list[Path]:
    found = sorted(root.glob("labels*.txt"))
    lists = (path for path in found if path.stem == "labels" or split_of(path.stem))
    return [path for path in lists if b"\t" in path.read_bytes()]  # other tools list classes in such files
