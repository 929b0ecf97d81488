"""The section on results, of masks or of a table."""

from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Section
from competition.reporting.parts import section_of
from competition.reporting.results.class_confusions import class_confusions
from competition.reporting.results.honest_scores import honest_scores
from competition.reporting.results.image_scores import class_and_fold_scores, score_distribution
from competition.reporting.results.mask_cases import class_cases, whole_image_cases
from competition.reporting.results.mask_levels import mask_reliability, score_by_threshold
from competition.reporting.results.patient_cases import patient_cases
from competition.reporting.results.table_curves import decision_tables, ranking_curves, table_reliability

OF_MASKS = (
    honest_scores,
    class_and_fold_scores,
    score_distribution,
    whole_image_cases,
    class_cases,
    class_confusions,
    mask_reliability,
    score_by_threshold,
)
OF_TABLES = (honest_scores, ranking_curves, decision_tables, table_reliability, patient_cases)


def results_section(inputs: ReportInputs) -> Section:
    """Return the honest scores, and what lies behind them."""
    parts = OF_MASKS if inputs.track.task == "segmentation" else OF_TABLES
    return section_of("results", "Results", inputs, parts)
