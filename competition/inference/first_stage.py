"""The first of two stages: where another member looks; needs no torch."""

from dataclasses import dataclass

import numpy as np

from competition.console import shout
from competition.data.boxes import Box, box_around
from competition.data.manifest import Entry
from competition.inference.voting import PredictingMember
from competition.prediction.probability_maps import HALF_LEVEL
from competition.settings import CropSettings


@dataclass(frozen=True)
class LoadedStage:
    """The member whose maps give the boxes that another member looks at."""

    member: PredictingMember
    classes: tuple[str, ...]  # of the member's maps
    settings: CropSettings

    def find_box(self, entry: Entry) -> Box:
        """Return the box around the classes of the first stage; with a warning the whole image where it finds none."""
        found, _ = self.member.predict_maps(entry)
        seen = np.zeros((entry.height, entry.width), np.bool_)
        for name in self.settings.classes:
            seen |= found[self.classes.index(name), slice(None), slice(None)] > HALF_LEVEL
        box = box_around(seen, self.settings.margin)
        if box is None:
            wanted = ", ".join(self.settings.classes)
            shout(f"{self.settings.run} finds no {wanted} in {entry.name}: the whole image is used")
        return box or Box(0, 0, entry.height, entry.width)
