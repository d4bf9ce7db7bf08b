"""Know the pictures that a bundle has learned from, so that nobody judges it by them."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct

from appliance.datasets.sample import Sample
from appliance.schema.errors import RuntimeFault

SEEN = "seen.json"
"""File of a bundle."""


class SeenPictures(Struct, frozen=True):
    """Name the pictures that weights, limits or confidences of a bundle were made from."""

    sha256: tuple[str, ...]
    """Of each picture file, sorted."""
    complete: bool = True
    """False: it was made from others too, which are not known."""


class Unseen(Struct, frozen=True):
    """Divide samples by what the bundle has seen."""

    kept: tuple[Sample, ...]
    seen: int
    """Pictures that the bundle has seen."""
    related: int
    """Others of their parts, which it knows as well."""
    known: bool
    """False: the bundle does not say all that it has seen."""


def seen_file(samples: Sequence[Sample]) -> bytes:
    """Give the content of `SEEN` for the samples that a bundle was made from; reads every picture once."""
    return msgspec.json.encode(SeenPictures(tuple(sorted({picture_digest(sample) for sample in samples}))))


def seen_also(samples: Sequence[Sample], files: Mapping[str, bytes]) -> bytes:
    """Give the content of `SEEN` for a bundle that was made from these samples and from the bundle with these files."""
    before = _known(files) or SeenPictures((), complete=False)
    both = {*before.sha256, *map(picture_digest, samples)}
    return msgspec.json.encode(SeenPictures(tuple(sorted(both)), before.complete))


def unseen(samples: Sequence[Sample], files: Mapping[str, bytes]) -> Unseen:
    """Leave out what the bundle with these files has seen, with every other picture of the same part."""
    found = _known(files)
    if found is None:
        return Unseen(tuple(samples), 0, 0, known=False)
    known = frozenset(found.sha256)
    seen = {sample.name: sample.group for sample in samples if known and picture_digest(sample) in known}
    groups = set(seen.values())
    kept = tuple(sample for sample in samples if sample.group not in groups)
    return Unseen(kept, len(seen), len(samples) - len(kept) - len(seen), known=found.complete)


def picture_digest(sample: Sample) -> str:
    """Give the SHA-256 (hex) of a sample's picture file."""
    return hashlib.sha256(sample.picture.read_bytes()).hexdigest()


def _known(files: Mapping[str, bytes]) -> SeenPictures | None:
    if SEEN not in files:
        return None
    try:
        return msgspec.json.decode(files[SEEN], type=SeenPictures)
    except (msgspec.DecodeError, UnicodeDecodeError) as cause:
        raise RuntimeFault(f"bundle: {SEEN} is damaged: {cause}; install the bundle again") from cause
