"""Give a reader the template of the picture that follows, where the data set has one for each picture."""

from appliance.datasets.pictures import as_frame, read_picture
from appliance.datasets.sample import Sample
from appliance.ports.task import FrameReader
from appliance.schema.errors import ConfigError
from appliance.schema.frame import PixelFormat
from appliance.tasks.confidence import ConfidentReader
from appliance.tasks.templates import TemplateReader


def show_template(reader: FrameReader, sample: Sample, frame_shape: tuple[int, int]) -> None:
    """Let a reader that compares compare with the sample's own template; without one the bundle's stays in use.

    frame_shape: (rows, cols). ConfigError when the template is of another size than the picture.
    """
    own = reader.reader if isinstance(reader, ConfidentReader) else reader
    if not isinstance(own, TemplateReader) or sample.template is None:
        return
    template = as_frame(read_picture(sample.template), PixelFormat.MONO8)
    if template.shape != frame_shape:
        raise ConfigError(
            f"{sample.template}: {template.shape} (rows, cols), the picture {sample.name} has {frame_shape}; give the "
            "template in the picture's pixels"
        )
    own.use_template(template)
