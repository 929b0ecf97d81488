"""The section on the ensemble."""

from competition.reporting.ensemble.agreement import member_agreement
from competition.reporting.ensemble.members import member_weights, tuning_gain
from competition.reporting.ensemble.next_images import images_to_look_at
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Section
from competition.reporting.parts import section_of


def ensemble_section(inputs: ReportInputs) -> Section:
    """Return weights, contributions, agreement, the gain of tuning, and the images to look at next."""
    parts = (member_weights, tuning_gain, member_agreement, images_to_look_at)
    return section_of("ensemble", "The ensemble", inputs, parts)
