"""The vote of several submissions on the objects of one image."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import distance_transform_edt

from competition.masks.bit_planes import unpack_class
from competition.masks.objects import Objects, Pixels, component_pixels, instance_pixels, join_classes, planes_of
from competition.masks.run_length_votes import Quorum


def vote_objects(sides: Sequence[Objects], election: Quorum, classes: int) -> Objects:
    """Return the objects of the elected pixels.

    Pixels are elected by weight, whatever object they belong to. They are split as the submission of the greatest
    weight (of equal ones the first) splits them; an elected pixel outside its objects belongs to the nearest of them in
    the same connected component, and a component without any is an object of its own.
    """
    planes = [planes_of(side, classes) for side in sides]
    leader = sides[int(np.argmax(election.weights))]
    found = []
    for index in range(classes):
        votes = sum(
            unpack_class(own, index) * np.int64(weight) for own, weight in zip(planes, election.weights, strict=True)
        )
        elected = np.asarray(votes) > election.more_than
        found.append([one for part in component_pixels(elected) for one in _split(part, leader, index)])
    return join_classes(leader.size_hw, found)


def _split(part: Pixels, leader: Objects, index: int) -> list[Pixels]:
    """Return the objects of one elected component."""
    owners = np.zeros(leader.size_hw[0] * leader.size_hw[1], dtype=np.int32)
    for number, own in enumerate(leader.of_class(index)):
        owners[own] = number + 1
    within = np.unique(owners[part])
    within = within[within > 0]
    if len(within) < 2:
        return [part]
    rows, columns = np.divmod(part, leader.size_hw[1])
    top, left = rows.min(), columns.min()
    box = np.zeros((int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1), dtype=np.int32)
    box[rows - top, columns - left] = owners[part]
    nearest = distance_transform_edt(box == 0, return_distances=False, return_indices=True)
    labels = np.zeros_like(box)
    labels[rows - top, columns - left] = box[tuple(nearest)][rows - top, columns - left]
    pieces = instance_pixels(labels)
    return [(np.divmod(one, box.shape[1])[0] + top) * leader.size_hw[1] + one % box.shape[1] + left for one in pieces]
