"""tune: choose everything on out-of-fold predictions and freeze it in one decision.json. Never sees test data."""

import argparse
from typing import Any

from competition.ensembling.segmentation.thresholds import THRESHOLDS, Window
from competition.ensembling.selection.weight_methods import METHODS
from competition.ensembling.tuning import ALONE, TOGETHER, TuneRequest, tune
from competition.ensembling.voting.combination import COMBINATIONS
from competition.errors import CompetitionError
from competition.runs.members import parse_members
from competition.text import shown
from pipelines.context import open_track, open_workspace
from pipelines.options import parse_weights, typed_options
from pipelines.reports.tuning_report import report_tuning

HELP = "Choose member weights, thresholds and post-processing on out-of-fold predictions; estimate the score."
EXAMPLE = "./run.sh tune --track hand_bone --members quick,strong:0,1 --name both"
FIGURES = {
    "decision": "Path of decision.json.",
    "members": "Object: member -> its weight; all of them sum to 1.",
    "class_groups": "Object: class group -> member -> weight in thousandths; empty without --by-group.",
    "worth": "Object: member -> its weight, and the change of the score when it is left out, with a 95 % interval.",
    "thresholds": "Object: class -> threshold, a probability.",
    "gate": "Classification: probability of the first class above which locations may be positive; null without one.",
    "rule": "Tables: kind and values of what decides the blend; null for masks, and for the locations of aneurysms.",
    "operations": "Object: class -> post-processing; empty where there is none.",
    "objects": "Object: class -> how its mask becomes objects; empty unless single objects are submitted.",
    "object_precision": "Object AP: cross-fitted by these rules, and of plain components; null without objects.",
    "count_scores": "The scores of the decision by the count metric that proposed it; null where it ranks itself.",
    "coverage": "Whole number: samples that all members held out, on which the choice was made.",
    "per_class": "Object: class -> its row of per_class.csv.",
    "fold_mean": "Mean score of the folds at threshold 0.5; null where nothing was scored.",
    "fold_sd": "Standard deviation of the score over the folds; null with one fold.",
    "oof": "Out-of-fold score after tuning, which is optimistic; null where nothing was scored.",
    "oof_crossfit": "Out-of-fold score, tuned on the other folds: rank by this; null with too few groups.",
    "interval_low": "Lower end of the 95 % interval of oof_crossfit.",
    "interval_high": "Upper end of the 95 % interval of oof_crossfit.",
    "oof_reweighted": "The score in the test set's mix; null where it is unknown or the metric is no mean over images.",
    "gain": "oof_crossfit less the score of equal weights without tuning; null with too few groups.",
    "gain_low": "Lower end of the 95 % interval of gain.",
    "gain_high": "Upper end of the 95 % interval of gain.",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the stage's options."""
    parser.add_argument("--members", metavar="RUN[:FOLDS],...", help="members of the vote (default: all trained runs)")
    parser.add_argument("--weights", metavar="W,W,...", help="weights of --members in any scale, instead of tuned ones")
    parser.add_argument("--name", metavar="NAME", help="name the decision (default: the members, joined by +)")
    help_text = (
        "search of the weights: optuna tries evenly spread vectors, greedy adds the member that helps most, equal "
        "does not search (default: optuna)"
    )
    parser.add_argument("--method", choices=METHODS, default="optuna", help=help_text)
    parser.add_argument("--trials", type=int, default=300, help="number of weight vectors for optuna (default: 300)")
    parser.add_argument("--by-group", action="store_true", help="choose weights for each class group of the track")
    help_text = "classification: average the members' probabilities, logits or ranks (default: mean)"
    parser.add_argument("--combine", choices=COMBINATIONS, default="mean", help=help_text)
    help_text = "masks: try every threshold, or search each with an Optuna study, which is slower (default: sweep)"
    parser.add_argument("--thresholds", choices=THRESHOLDS, default="sweep", help=help_text)
    help_text = (
        f"restrict the thresholds (default: {_window_text(ALONE[0])}; several members "
        f"{_window_text(TOGETHER[0])}, or narrower where they disagree on much)"
    )
    parser.add_argument("--window", metavar="LOW:HIGH", help=help_text)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Tune; see HELP.

    Returns:
        ``FIGURES``.
    """
    track, workspace = open_track(args), open_workspace(args)
    path, tuning = tune(track, workspace, _request(args))
    return report_tuning(track, workspace, path, tuning, typed_options(args))


def _request(args: argparse.Namespace) -> TuneRequest:
    members = None if args.members is None else parse_members(args.members)
    weights = None
    if args.weights is not None:
        if members is None:
            raise CompetitionError("--weights needs --members, in the same order")
        weights = parse_weights(args.weights, len(members), "members")
    typed = ("name", "method", "trials", "by_group", "combine", "thresholds")
    window = None if args.window is None else parse_window(args.window)
    return TuneRequest(members, weights, window=window, **{name: getattr(args, name) for name in typed})


def parse_window(text: str) -> Window:
    """Read "0.2:0.8".

    Raises:
        CompetitionError: It is not two probabilities around 0.5.
    """
    low, _, high = text.partition(":")
    try:
        window = (float(low), float(high))
    except ValueError as error:
        raise CompetitionError(f"--window takes LOW:HIGH, for example 0.2:0.8, not {shown(text)}") from error
    if not 0 < window[0] <= 0.5 <= window[1] < 1:
        raise CompetitionError(f"--window must contain 0.5 and lie between 0 and 1, not {shown(text)}")
    return window


def _window_text(window: Window) -> str:
    return f"{window[0]}:{window[1]}"
