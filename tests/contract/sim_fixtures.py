"""Fixtures of the `sim.cti` tests: a plant, a freshly built producer, one Harvester on it, camera 0 ready to fire."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from harvesters.core import Harvester, ImageAcquirer

from appliance.sim.camera.build import build
from tests.contract.sim_rig import WINDOW, Data, Plant


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Plant:
    return Plant(tmp_path_factory.mktemp("plant") / "plant")


@pytest.fixture(scope="module")
def cti(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("cti") / "sim.cti")


@pytest.fixture(scope="module")
def harvester(cti: Path, plant: Plant) -> Iterator[Harvester]:
    os.environ["FIRSTSHIFT_PLANT"] = str(plant.path)
    harvester = Harvester()
    harvester.add_file(str(cti))
    harvester.update()
    yield harvester
    harvester.reset()
    del os.environ["FIRSTSHIFT_PLANT"]


@pytest.fixture
def camera(harvester: Harvester, plant: Plant) -> Iterator[ImageAcquirer]:
    """Camera 0, stopped, software triggered, small window, nominal light, over the colour part."""
    plant.belt(1500)
    acquirer = harvester.create({"serial_number": "SIM0"})
    nodes = acquirer.remote_device.node_map
    nodes.OffsetX.value = nodes.OffsetY.value = 0
    nodes.Height.value, nodes.Width.value = WINDOW
    nodes.PixelFormat.value, nodes.ExposureTime.value, nodes.Gain.value = "Mono8", 1000.0, 0.0
    nodes.TriggerMode.value, nodes.TriggerSource.value = "On", "Software"
    nodes.ChunkModeActive.value = False
    yield acquirer
    acquirer.destroy()


@pytest.fixture
def data(camera: ImageAcquirer, cti: Path) -> Iterator[Data]:
    """Stream the same camera into four slots of our own memory, with Harvester's handles."""
    stream = camera._data_streams[0].module
    event = next(iter(camera._new_buffer_event_monitor_dict.values())).handle
    nodes = camera.remote_device.node_map
    data = Data(ctypes.CDLL(str(cti)), int(stream._handle), int(event), nodes.PayloadSize.value, 4)
    data.start()
    nodes.AcquisitionStart.execute()
    yield data
    data.stop()
