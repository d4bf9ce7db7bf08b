"""Keep the six bundles that the measurements run on: fitted once from rendered parts at 5 megapixels."""

from pathlib import Path

from appliance.runtimes.openvino import OpenVinoRuntime
from appliance.schema.bundle import TaskName
from appliance.sim.task_bundles import Wish, task_bundle
from appliance.storage import bundle

SIZE = (2448, 2048)
"""The 5-megapixel sensor of a common line camera (IMX264 class)."""
PARTS = 63
KEPT = Path(__file__).resolve().parents[1] / "build" / "bench-bundles"


def fitted(task: TaskName) -> Path:
    """Give the folder of the task's bundle in this machine's best precision; fitting takes up to minutes.

    Kept in `build/bench-bundles`; remove that folder to fit again.
    """
    runtime = OpenVinoRuntime()
    precision = runtime.choose()
    folder = KEPT / f"{task.value}-{precision}"
    if not folder.exists():
        made = task_bundle(Wish(task, runtime, precision, SIZE, PARTS))
        KEPT.mkdir(parents=True, exist_ok=True)
        bundle.write(folder, made.manifest, made.files)
    return folder
