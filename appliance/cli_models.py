"""Read the commands that make, judge and look at models; each imports the heavy libraries that it needs itself."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeAlias

from appliance.schema.bundle import TaskName
from appliance.schema.errors import ConfigError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  argparse has no other name for it
RUNTIMES = "openvino, onnx, onnx-cuda, onnx-tensorrt or tensorrt"


class AddCommand(Protocol):
    """Add one command to a list of them."""

    def __call__(
        self, commands: Commands, name: str, run: Callable[[argparse.Namespace], int], what: str
    ) -> argparse.ArgumentParser:
        """Give the command's own parser."""


def add(commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]) -> None:
    """Add every command about models; station: adds the arguments that name a station."""
    _training_arguments(commands, command)
    _data_arguments(commands, command)
    _infer_arguments(commands, command)
    _bundle_arguments(commands, command, station)


def _training_arguments(commands: Commands, command: AddCommand) -> None:
    train = command(commands, "train", _train, "make a bundle from labelled pictures, with its data sheet")
    train.add_argument("task", choices=[task.value for task in TaskName], help="what the model shall do")
    train.add_argument("--data", type=Path, required=True, help="folder of labelled pictures; see `dataset inspect`")
    train.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    train.add_argument("--minutes", type=float, help="time budget; default none")
    train.add_argument("--seed", type=int, default=0, help="names splits and starting weights, default 0")
    train.add_argument("--runtime", default="openvino", help="runtime of the line, default openvino")
    train.add_argument("--precision", default="auto", help="f32, f16, bf16 or int8; default the best of this machine")
    train.add_argument(
        "--overkill", type=float, help="share of good parts that may be held back; default the task's own"
    )
    train.add_argument("--handed", action="store_true", help="a mirrored part is another thing, or carries text")
    train.add_argument("--fixtured", action="store_true", help="a fixture holds each part in the same place (anomaly)")
    train.add_argument("--turned", action="store_true", help="parts lie any way round, on square pictures (detection)")
    train.add_argument("--finetune", action="store_true", help="try the backbone's last fifth too (classification)")
    train.add_argument("--pattern", default="", help="regular expression that every text matches (ocr)")
    train.add_argument("--style", default="", help="how texts are marked, for example 'dot matrix' (ocr)")
    train.add_argument("--rendered", type=int, default=0, help="texts to render and learn from (ocr)")
    train.add_argument("--threads", type=int, default=2, help="threads of training, default 2")
    train.add_argument(
        "--study",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="also measure the learning curve and the gap to a random split; default where time allows",
    )
    train.add_argument("--robustness", action="store_true", help="judge also under changed light, blur and movement")
    train.add_argument("--json", help="write the data sheet as JSON to this file, - for standard output alone")
    judged = command(commands, "evaluate", _evaluate, "judge a bundle by labelled pictures it has not seen")
    judged.add_argument("bundle", type=Path, help="folder of the bundle")
    judged.add_argument("--data", type=Path, required=True, help="folder of labelled pictures")
    judged.add_argument("--split", default="test", help="which pictures of it, default test")
    judged.add_argument("--json", help="write the metrics to this file, - for standard output alone")
    judged.add_argument("--runtime", help=f"{RUNTIMES}; default the bundle's own")
    judged.add_argument("--precision", help="f32, f16, bf16 or int8; default the bundle's own")
    judged.add_argument("--threads", type=int, default=1, help="inference threads, default 1")
    judged.add_argument("--robustness", action="store_true", help="also under changed light, blur, noise and movement")


def _data_arguments(commands: Commands, command: AddCommand) -> None:
    dataset = commands.add_parser("dataset", help="look at labelled pictures, or write them in another form")
    actions = dataset.add_subparsers(metavar="ACTION", required=True)
    inspect = command(
        actions, "inspect", _dataset_inspect, "say what a folder of labelled pictures holds, and what is wrong with it"
    )
    inspect.add_argument("folder", type=Path, help="folder of labelled pictures")
    inspect.add_argument(
        "--task", choices=[task.value for task in TaskName], help="default: what the layout is made for"
    )
    inspect.add_argument("--json", help="write what was found to this file, - for standard output alone")
    export = command(actions, "export", _dataset_export, "write labelled pictures in another form")
    export.add_argument("folder", type=Path, nargs="?", help="folder of labelled pictures; or name a station")
    station = export.add_mutually_exclusive_group()
    station.add_argument("--config", type=Path, help="station file: export what its people labelled")
    station.add_argument("--state", type=Path, help="folder that a demo left behind")
    export.add_argument("--snapshot", help="id of a frozen snapshot; default what training may use now")
    export.add_argument("--format", choices=["coco", "yolo", "voc", "folder", "labelstudio"], required=True)
    export.add_argument("--out", type=Path, required=True, help="new folder")
    export.add_argument(
        "--task", choices=[task.value for task in TaskName], help="default: what the layout is made for"
    )


def _infer_arguments(commands: Commands, command: AddCommand) -> None:
    infer = command(commands, "infer", _infer, "look at pictures with a bundle and give the findings")
    infer.add_argument("bundle", type=Path, help="folder of the bundle")
    infer.add_argument("image", type=Path, nargs="+", help="picture file: PNG, JPEG, BMP or TIFF, 8 bits per channel")
    infer.add_argument("--runtime", help=f"{RUNTIMES}; default the bundle's own")
    infer.add_argument("--precision", help="f32, f16, bf16 or int8; default the bundle's own")
    infer.add_argument("--json", help="write the findings to this file, - for standard output alone")
    infer.add_argument("--overlay", type=Path, help="draw the findings on the pictures, into this folder")
    infer.add_argument(
        "--mm-per-px", type=float, help="scale of the pictures, for sizes in mm; default the bundle's own"
    )
    infer.add_argument("--threads", type=int, default=1, help="inference threads, default 1")


def _bundle_arguments(
    commands: Commands, command: AddCommand, station: Callable[[argparse.ArgumentParser], None]
) -> None:
    bundle = commands.add_parser("bundle", help="look at a model bundle, or make one of a foreign model")
    actions = bundle.add_subparsers(metavar="ACTION", required=True)
    show = command(
        actions, "show", _bundle_show, "show what a bundle is, what its limits promise and what it cannot see"
    )
    show.add_argument("bundle", type=Path, help="folder of the bundle")
    show.add_argument("--config", type=Path, help="station file, for the scale of its cameras")
    show.add_argument("--json", action="store_true", help="print the manifest instead")
    verify = command(actions, "verify", _bundle_verify, "check every byte and the golden tensors of a bundle")
    verify.add_argument("bundle", type=Path, help="folder of the bundle")
    imported = command(
        actions, "import", _bundle_import, "make a bundle of a foreign ONNX model, proven on sample images"
    )
    imported.add_argument("model", type=Path, help="ONNX file")
    imported.add_argument("--images", type=Path, required=True, help="folder of sample images for the parity check")
    imported.add_argument("--mapping", type=Path, help="TOML file that says what the model's inputs and outputs mean")
    imported.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    imported.add_argument("--runtime", default="openvino", help="runtime of the line, default openvino")
    imported.add_argument(
        "--precision", default="auto", help="f32, f16, bf16 or int8; default the best of this machine"
    )
    eight = command(actions, "quantize", _bundle_quantize, "make an 8-bit sibling of a bundle, if it passes its gate")
    eight.add_argument("bundle", type=Path, help="folder of the bundle")
    eight.add_argument(
        "--images", type=Path, required=True, help="folder of pictures as the line sees them, 16 or more"
    )
    eight.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    eight.add_argument("--runtime", default="openvino", help="runtime of the line, default openvino")
    anew = command(
        actions, "calibrate", _bundle_calibrate, "find a bundle's limits and confidences for another precision"
    )
    anew.add_argument("bundle", type=Path, help="folder of the bundle")
    anew.add_argument("--data", type=Path, required=True, help="folder of labelled pictures of parts it has not seen")
    anew.add_argument("--out", type=Path, required=True, help="folder of the new bundle")
    anew.add_argument("--precision", default="auto", help="f32, f16, bf16 or int8; default the best of this machine")
    anew.add_argument("--runtime", help=f"{RUNTIMES}; default the bundle's own")
    anew.add_argument("--split", default="test", help="which pictures of it, default test")
    anew.add_argument(
        "--share", type=float, default=0.5, help="of the parts to use; the others stay unseen; default 0.5"
    )
    anew.add_argument(
        "--overkill", type=float, default=0.05, help="share of good parts that may be held back, default 0.05"
    )
    anew.add_argument("--views", type=int, help="pictures that the line takes of a part; default all that there are")
    anew.add_argument("--seed", type=int, default=0, help="names the parts drawn, default 0")
    anew.add_argument("--threads", type=int, default=1, help="inference threads, default 1")
    for name, what in (
        ("stage", "load, prove and warm a bundle beside the running one"),
        ("activate", "use the staged bundle from the next part on"),
        ("rollback", "use the bundle before the active one again, from the next part on"),
    ):
        wish = command(actions, name, _bundle_wish, what)
        if name != "rollback":
            wish.add_argument("bundle", help="folder of the bundle in the station's bundle folder, or its id")
        wish.add_argument("--actor", required=True, help="who asks, for the audit: operator id")
        wish.set_defaults(wish=name)
        station(wish)


def _train(options: argparse.Namespace) -> int:
    from appliance.trainer.command import TrainOptions, run_train
    from appliance.trainer.wishes import Wishes

    return run_train(
        TrainOptions(
            task=TaskName(options.task),
            data=options.data,
            out=options.out,
            minutes=options.minutes,
            seed=options.seed,
            runtime=options.runtime,
            precision=options.precision,
            threads=options.threads,
            study=options.study,
            robustness=options.robustness,
            wishes=Wishes(
                overkill=options.overkill,
                handed=options.handed,
                fixtured=options.fixtured,
                turned=options.turned,
                finetune=options.finetune,
                pattern=options.pattern,
                style=options.style,
                rendered=options.rendered,
            ),
            json=options.json,
        )
    )


def _evaluate(options: argparse.Namespace) -> int:
    from appliance.evaluation.command import EvaluateOptions, run_evaluate

    return run_evaluate(
        EvaluateOptions(
            bundle=options.bundle,
            data=options.data,
            split=options.split,
            json=options.json,
            runtime=options.runtime,
            precision=options.precision,
            threads=options.threads,
            robustness=options.robustness,
        )
    )


def _dataset_inspect(options: argparse.Namespace) -> int:
    from appliance.datasets.inspect_command import InspectOptions, run_inspect
    from appliance.storage.whole_file import write_whole

    return run_inspect(InspectOptions(options.folder, options.task, options.json), write_whole)


def _dataset_export(options: argparse.Namespace) -> int:
    from appliance.datasets.export import ExportOptions, run_export

    if (options.folder is None) == (options.config is None and options.state is None):
        raise ConfigError("dataset export: takes a folder of pictures, or a station by --config or --state; give one")
    if options.folder is None:
        return _station_export(options)
    if options.snapshot is not None:
        raise ConfigError("--snapshot: is a station's; name it by --config or --state in place of a folder")
    task = TaskName(options.task) if options.task else None
    return run_export(ExportOptions(options.folder, options.format, options.out, task))


def _station_export(options: argparse.Namespace) -> int:
    from appliance import config
    from appliance.label_export import StationExport, run_station_export

    loaded = config.load(options.state / "station.toml" if options.state else options.config)
    return run_station_export(loaded, StationExport(options.format, options.out, options.snapshot, options.task))


def _infer(options: argparse.Namespace) -> int:
    from appliance.infer.run import InferOptions, run_infer

    return run_infer(
        InferOptions(
            bundle=options.bundle,
            pictures=tuple(options.image),
            runtime=options.runtime,
            precision=options.precision,
            json=options.json,
            overlay=options.overlay,
            mm_per_px=options.mm_per_px,
            threads=options.threads,
        )
    )


def _bundle_show(options: argparse.Namespace) -> int:
    from appliance import config
    from appliance.infer.show import describe, manifest_json

    station = config.load(options.config) if options.config else None
    print(manifest_json(options.bundle) if options.json else describe(options.bundle, station))  # noqa: T201
    return 0


def _bundle_verify(options: argparse.Namespace) -> int:
    from appliance.services._inspector import verify_bundle

    print(verify_bundle(options.bundle))  # noqa: T201
    return 0


def _bundle_import(options: argparse.Namespace) -> int:
    from appliance.importing.command import ImportOptions, run_import
    from appliance.services._runtimes import open_runtime
    from appliance.storage import bundle

    runtime = open_runtime(options.runtime)
    precision = runtime.choose(options.precision)
    chosen = ImportOptions(options.model, options.images, options.out, options.mapping, precision)
    return run_import(chosen, runtime, bundle.write)


def _bundle_wish(options: argparse.Namespace) -> int:
    import zmq

    from appliance import config
    from appliance.bus.control import ask
    from appliance.schema.command import ActivateBundle, Command, RollbackBundle, StageBundle

    wish: Command = RollbackBundle(options.actor)
    if options.wish != "rollback":
        kind = StageBundle if options.wish == "stage" else ActivateBundle
        wish = kind(options.bundle, options.actor)
    runtime = config.load(options.state / "station.toml" if options.state else options.config).runtime
    with zmq.Context() as context:
        reply = ask(context, runtime, "judge", wish)
    print(f"judge: {getattr(reply, 'detail', '') or 'accepted'}")  # noqa: T201
    return 0


def _bundle_quantize(options: argparse.Namespace) -> int:
    from appliance.infer.quantize import QuantizeOptions, run_quantize

    return run_quantize(QuantizeOptions(options.bundle, options.images, options.out, options.runtime))


def _bundle_calibrate(options: argparse.Namespace) -> int:
    from appliance.trainer.recalibration import CalibrateOptions, run_calibrate

    return run_calibrate(
        CalibrateOptions(
            bundle=options.bundle,
            data=options.data,
            out=options.out,
            split=options.split,
            share=options.share,
            overkill=options.overkill,
            runtime=options.runtime,
            precision=options.precision,
            views=options.views,
            seed=options.seed,
            threads=options.threads,
        )
    )
