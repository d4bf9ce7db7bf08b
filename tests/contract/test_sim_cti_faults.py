"""What goes wrong with `sim.cti` is what goes wrong with a camera, and it is always told."""

import ctypes
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from genicam import gentl
from harvesters.core import Harvester, ImageAcquirer

from appliance.sim.camera.build import HERE
from tests.contract.sim_rig import (
    ERROR,
    EXCLUSIVE,
    QUEUE,
    WINDOW,
    Data,
    Plant,
    check,
    fire_when_ready,
    snap,
    until,
)

INFO, STREAM = gentl.BUFFER_INFO_CMD_LIST, gentl.STREAM_INFO_CMD_LIST
ENDED = (STREAM.STREAM_INFO_NUM_UNDERRUN, STREAM.STREAM_INFO_NUM_DELIVERED)
pytest_plugins = ["tests.contract.sim_fixtures"]


def test_edges_while_busy_are_missed(data: Data, camera: ImageAcquirer, plant: Plant) -> None:
    """Triggers are exposures plus missed ones: an edge that cannot be exposed is counted, and takes no frame id."""
    camera.remote_device.node_map.TriggerSource.value = "Line1"
    missed = plant["missed"]
    plant.edge(1000, edges=3)
    first = data.take()
    plant.edge(1100, ns=time.monotonic_ns() - 1_000_000_000)
    until(lambda: plant["missed"] == missed + 3)
    plant.edge(1200)
    second = data.take()

    assert [0, 1] == [data.info(slot, INFO.BUFFER_INFO_FRAMEID) for slot in (first, second)]


def test_under_run_is_counted_and_leaves_a_gap(data: Data, camera: ImageAcquirer, plant: Plant) -> None:
    """An exposure with no buffer to go to is an under-run; its frame id is missing."""
    check(data.lib.DSFlushQueue(data.stream, QUEUE.ACQ_QUEUE_ALL_DISCARD))
    check(data.queue(3))
    for exposures in (1, 2, 3):
        fire_when_ready(camera, plant)
        until(lambda number=exposures: number == sum(map(data.count, ENDED)))
    first = data.info(data.take(), INFO.BUFFER_INFO_FRAMEID)
    check(data.queue(3))
    fire_when_ready(camera, plant)
    later = data.info(data.take(), INFO.BUFFER_INFO_FRAMEID)

    assert (0, 3, 2) == (first, later, data.count(STREAM.STREAM_INFO_NUM_UNDERRUN))


def test_faults_befall_the_next_exposures(data: Data, camera: ImageAcquirer, plant: Plant) -> None:
    """Drop leaves a gap, incomplete keeps half and says so, double makes two frames of one trigger."""
    rows, columns = WINDOW
    data.pixels[:] = 77
    plant["drop_total"] += 1
    fire_when_ready(camera, plant)
    plant["incomplete_total"] += 1
    fire_when_ready(camera, plant)
    half = data.take()
    plant["double_total"] += 1
    fire_when_ready(camera, plant)
    twice = [data.take(), data.take()]
    ids = [data.info(slot, INFO.BUFFER_INFO_FRAMEID) for slot in (half, *twice)]
    flags = [data.info(slot, INFO.BUFFER_INFO_IS_INCOMPLETE) for slot in (half, *twice)]
    picture = data.pixels[half][: rows * columns].reshape(WINDOW)

    assert ([1, 2, 3], [1, 0, 0], rows * columns // 2) == (ids, flags, data.info(half, INFO.BUFFER_INFO_SIZE_FILLED))
    np.testing.assert_array_equal(np.full((rows // 2, columns), 77, np.uint8), picture[rows // 2 :])


def test_a_scene_never_finished_is_no_good_frame(data: Data, camera: ImageAcquirer, plant: Plant) -> None:
    """A picture whose painter is still at work, or died at it, is never passed on as whole."""
    plant.belt(9999)
    plant.lock_empty_scene(1)
    fire_when_ready(camera, plant)
    torn = data.take()
    plant.lock_empty_scene(2)
    fire_when_ready(camera, plant)
    whole = data.take()

    assert [1, 0] == [data.info(slot, INFO.BUFFER_INFO_IS_INCOMPLETE) for slot in (torn, whole)]


def test_delayed_frame_comes_late(data: Data, camera: ImageAcquirer, plant: Plant) -> None:
    """A late frame is late by at least delay_ns and blocks nothing: the camera goes on exposing."""
    plant["delay_ns"] = 60_000_000
    plant["delay_total"] += 1
    start = time.monotonic_ns()
    fire_when_ready(camera, plant)
    fire_when_ready(camera, plant)
    first = data.take()
    late_ns = time.monotonic_ns() - start

    assert [0, 1] == [data.info(slot, INFO.BUFFER_INFO_FRAMEID) for slot in (first, data.take())]
    assert True is (late_ns >= 60_000_000)


def test_faults_before_opening_are_not_consumed(plant: Plant, harvester: Harvester) -> None:
    """A camera that is opened starts with no faults pending."""
    plant["drop_total"] += 5
    camera = harvester.create({"serial_number": "SIM0"})
    camera.remote_device.node_map.TriggerMode.value = "On"
    camera.remote_device.node_map.TriggerSource.value = "Software"
    camera.start()
    image = snap(camera)
    camera.stop()
    camera.destroy()

    assert True is bool(image.any())


@pytest.mark.usefixtures("camera")
def test_one_master(harvester: Harvester, cti: Path, plant: Plant) -> None:
    """An open camera cannot be opened again, neither here nor by another process."""
    with pytest.raises(gentl.ResourceInUseException):
        harvester.device_info_list[0].module.create_device().open(EXCLUSIVE)
    script = f"""
        import ctypes
        from tests.contract.sim_rig import opened
        opened(ctypes.CDLL({str(cti)!r}), b"firstshift-sim-0")
    """
    environment = {**os.environ, "FIRSTSHIFT_PLANT": str(plant.path), "PYTHONPATH": str(HERE.parents[2])}
    run = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(run, capture_output=True, text=True, env=environment, check=False)

    assert "OSError: GC_ERR_ACCESS_DENIED" == done.stderr.strip().splitlines()[-1]


def test_unplugged_and_back(harvester: Harvester, plant: Plant) -> None:
    """A pulled cable gives GC_ERR_IO and one camera less in the list; it comes back without its settings."""
    camera = harvester.create({"serial_number": "SIM0"})
    nodes = camera.remote_device.node_map
    nodes.TriggerMode.value, nodes.TriggerSource.value = "On", "Software"
    nodes.DeviceUserID.value = "top left"
    camera.start()
    plant["unplugged"] = 1
    with pytest.raises(gentl.IoException):
        camera.fetch(timeout=5)
    with pytest.raises(gentl.IoException):
        nodes.DeviceTemperature.value  # noqa: B018
    with pytest.raises(gentl.IoException):
        camera.stop()
    camera.destroy()
    harvester.update()
    without = [d.serial_number for d in harvester.device_info_list]
    plant["unplugged"] = 0
    harvester.update()
    camera = harvester.create({"serial_number": "SIM0"})
    nodes = camera.remote_device.node_map
    settings = (nodes.TriggerMode.value, nodes.DeviceUserID.value)
    nodes.TriggerMode.value = "On"
    camera.start()
    image = snap(camera)
    camera.stop()
    camera.destroy()

    assert (["SIM1"], True, ("Off", "top left")) == (without, bool(image.any()), settings)


def test_a_missing_plant_is_an_error(tmp_path: Path, cti: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plant that was asked for and is not there is not replaced by a pattern."""
    copy = tmp_path / "copy.cti"
    copy.write_bytes(cti.read_bytes())
    monkeypatch.setenv("FIRSTSHIFT_PLANT", str(tmp_path / "absent"))
    lib = ctypes.CDLL(str(copy))
    error, text, code, size = lib.GCInitLib(), ctypes.create_string_buffer(256), ctypes.c_int32(), ctypes.c_size_t(256)
    check(lib.GCGetLastError(ctypes.byref(code), text, ctypes.byref(size)))

    assert (ERROR.GC_ERR_IO, ERROR.GC_ERR_IO) == (error, code.value)
    assert "No such file or directory; start the plant first" == text.value.decode().split(": ")[-1]
