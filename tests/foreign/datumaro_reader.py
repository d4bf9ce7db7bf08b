"""Read a data set by Datumaro, in an environment of its own, and write what it found as one JSON line.

    python datumaro_reader.py coco|yolo|voc FOLDER

Datumaro 1.13.12 needs older numpy and OpenCV than the appliance: `pip install datumaro==1.13.12` into
`build/foreign/datumaro`.
"""

import json
import sys

from datumaro import Dataset
from datumaro.components.annotation import AnnotationType


def main() -> None:
    """Take format and folder; write [[picture, [[class, x, y, width, height], ...]], ...].

    COCO's boxes and outlines become annotations of their own, so what lies in one place counts once.
    """
    form, folder = sys.argv[1:]
    data = Dataset.import_from(folder, {"coco": "coco_instances"}.get(form, form))
    names = [label.name for label in data.categories()[AnnotationType.label]]
    rows = []
    for item in data:
        places = {
            (names[one.label], *(round(value) for value in one.get_bbox()))
            for one in item.annotations
            if one.type in {AnnotationType.bbox, AnnotationType.polygon, AnnotationType.mask}
        }
        rows.append([item.id.rpartition("/")[2], sorted(places)])
    sys.stdout.write(json.dumps(sorted(rows)) + "\n")


if __name__ == "__main__":
    main()
