"""The section on why: what the networks look at in the worst and the best samples, beside truth and score."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.data.manifest import Entry
from competition.ensembling.decision import WeightedMember
from competition.errors import CompetitionError
from competition.explanation.explain import Explanation, explain_sample
from competition.explanation.occlusion import advice
from competition.explanation.picture import draw_explanation
from competition.explanation.table import row_of
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, Section
from competition.reporting.parts import section_of
from competition.reporting.pictures import gallery
from competition.reporting.results.image_scores import score_table
from competition.reporting.results.mask_cases import ranked_cases
from competition.reporting.results.patient_cases import sorted_cases
from competition.runs.members import is_imported

NOT_ASKED = "Maps are drawn on request, because that runs the networks again: ./run.sh report --explain 3 draws three."


def explanation_section(inputs: ReportInputs) -> Section:
    """Explain as many samples as the report was asked to, half of them the worst ones and half the best ones."""
    if not inputs.explained:
        return Section("why", "Why", missing=NOT_ASKED)
    return section_of("why", "Why", inputs, [_explanations])


def _explanations(inputs: ReportInputs) -> list[Figure]:
    member = _explained_member(inputs)
    items: list[tuple[NDArray[np.uint8], str]] = []
    rows = []
    for kind, entry, class_name in _cases(inputs, member):
        names = None if class_name is None else [class_name]
        for explanation in explain_sample(inputs.track, inputs.workspace, member, entry, names):
            items.append((draw_explanation(explanation), f"{kind}: {_caption(explanation)}"))
            rows.append({"kind": kind} | row_of(explanation))
    sentence = (
        f"What {member.name}, the member of most weight, looks at in samples that its network has not learned from: "
        "the image, Grad-CAM, and occlusion, which hides the image part by part. Heat on the finding is what you want; "
        "heat on burned-in text or margins means that the network has learned which machine made the image."
    )
    return [
        Figure("explanations", "What the network looks at", sentence, gallery(items, wide=True), pd.DataFrame(rows))
    ]


def _explained_member(inputs: ReportInputs) -> WeightedMember:
    members = sorted(inputs.decision.members, key=lambda member: -member.weight)
    for member in members:
        if not is_imported(inputs.workspace, member.name):
            return member
    raise CompetitionError("all members were imported without their networks, so none can be explained")


def _cases(inputs: ReportInputs, member: WeightedMember) -> list[tuple[str, Entry, str | None]]:
    """Return kind, sample and class of what is explained; of a table the default classes of ``explain_sample``."""
    entries = inputs.tuning.entries
    if inputs.track.task == "classification":
        kinds = sorted_cases(*inputs.judged_cells)
        named = [None if inputs.located else inputs.track.classes[index] for index in inputs.judged.tolist()]
        return [(kinds[index], entries[index], named[index]) for index in _ends(list(kinds), inputs.explained)]
    table, scores = score_table(inputs)
    order = [
        index for index in np.argsort(table["score"], kind="stable").tolist() if not np.isnan(table["score"][index])
    ]
    classes = [inputs.track.classes.index(name) for name in member.classes or inputs.track.classes]
    kinds = ranked_cases(order)
    chosen: list[tuple[str, Entry, str | None]] = []
    for index in _ends(order, inputs.explained):
        known = [name for name in classes if not np.isnan(scores[index, name])]
        worst = min(known, key=lambda name: scores[index, name]) if known else classes[0]
        chosen.append((kinds.get(index, "case"), entries[index], inputs.track.classes[worst]))
    return chosen


def _ends(order: Sequence[int], count: int) -> list[int]:
    """Return up to ``count`` positions from both ends of an order, more from its beginning where the count is odd."""
    count = min(count, len(order))
    first = (count + 1) // 2
    return [*order[:first], *order[len(order) - (count - first) :]]


def _caption(explanation: Explanation) -> str:
    truth = {True: "yes", False: "no", None: "unknown"}[explanation.truth]
    known = {name: share.energy for name, share in explanation.energy.items() if not np.isnan(share.energy)}
    shares = ", ".join(f"{energy:.0%} on {name}" for name, energy in known.items()) or "none, because it is empty"
    text = f"{explanation.name}, {explanation.class_name}: probability {explanation.score:.3f}, truth {truth}"
    warning = advice(explanation.rank_correlation)
    return f"{text}; energy of Grad-CAM {shares}" + (f". {warning}" if warning else "")
