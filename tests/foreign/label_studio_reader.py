"""Read tasks by Label Studio's own converter, in an environment of its own, and write its COCO as one JSON line.

    python label_studio_reader.py FOLDER

Label Studio numbers tasks and annotations when it imports them, which is played here. The converter comes with its SDK:
`pip install label-studio-sdk==2.1.2` into `build/foreign/labelstudio`.
"""

import json
import sys
import tempfile
from pathlib import Path

from label_studio_sdk.converter import Converter


def main() -> None:
    """Take the folder of an export; write [[picture, [[class, x, y, width, height], ...]], ...]."""
    folder = Path(sys.argv[1])
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    for number, task in enumerate(tasks, 1):
        task["id"] = number
        for annotation in task["annotations"]:
            annotation["id"] = number
    with tempfile.TemporaryDirectory() as place:
        numbered = Path(place, "tasks.json")
        numbered.write_text(json.dumps(tasks), "utf-8")
        converter = Converter(str(folder / "interface.xml"), str(folder), download_resources=False)
        converter.convert(str(numbered), f"{place}/out", "COCO", is_dir=False)
        read = json.loads(Path(place, "out", "result.json").read_text("utf-8"))
    kinds = {one["id"]: one["name"] for one in read["categories"]}
    rows = []
    for image in read["images"]:
        those = [one for one in read["annotations"] if one["image_id"] == image["id"]]
        boxes = sorted([kinds[one["category_id"]], *(round(value) for value in one["bbox"])] for one in those)
        rows.append([Path(image["file_name"]).stem, boxes])
    sys.stdout.write(json.dumps(sorted(rows)) + "\n")


if __name__ == "__main__":
    main()
