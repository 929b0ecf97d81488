"""A predictor from trained checkpoints."""

from collections.abc import Mapping, Sequence

from competition.data.boxes import Box
from competition.prediction.predictor import Predictor, make_predictor
from competition.tracks.track import Track
from competition.training.checkpoints import Best, load_network
from competition.training.precision import AUTOCAST
from competition.workspace import Workspace


def open_predictor(
    checkpoints: Sequence[Best], track: Track, workspace: Workspace, boxes: Mapping[str, Box] | None = None
) -> Predictor:
    """Return a predictor that averages the networks of several folds of one run.

    Args:
        checkpoints: One per fold, of one experiment and precision.
        track: With the classes that the run predicts.
        workspace: Where the prepared samples are.
        boxes: Sample -> the part of it that the networks look at; None for whole images.
    """
    networks = [load_network(best, track) for best in checkpoints]
    first = checkpoints[0]
    return make_predictor(networks, first.experiment, track, workspace, AUTOCAST[first.precision], boxes)
