"""Who votes on which class: a member may predict some classes only, and does not vote on the others."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from competition.ensembling.voting.blend import blend_levels, check_weights, round_weights
from competition.errors import CompetitionError
from competition.prediction.opened_maps import ClassMap, Tile
from competition.text import nearest_hint

EVERYWHERE: Tile = (slice(None), slice(None))


@dataclass(frozen=True)
class Voters:
    """Who votes on which class."""

    rows: NDArray[np.int64]  # (C, M): position of a class in a member's maps; -1 where it does not predict the class

    def of(self, index: int) -> NDArray[np.int64]:
        """Return the members (positions among all) that vote on a class."""
        return np.flatnonzero(self.rows[index] >= 0)

    def values(self, maps: Sequence[ClassMap], index: int, tile: Tile = EVERYWHERE) -> list[NDArray[np.uint8]]:
        """Return the maps (h, w) of a class by the members that vote on it, in the order of ``of``."""
        return [maps[member][int(self.rows[index, member]), *tile] for member in self.of(index)]

    def weights_by_class(self, weights: ArrayLike) -> NDArray[np.int64]:
        """Return the members' weights on every class.

        The weights of those that vote on a class are scaled to a sum of 1000 again, by largest remainder; where all of
        them are 0 they weigh equally, because every class must be decided.

        Args:
            weights: One per member, in thousandths, 1000 in sum; or (C, M), a class's own in each row.

        Returns:
            int64 (C, M), every row summing to 1000; 0 where a member does not vote.
        """
        asked = np.asarray(weights)
        rows = asked if asked.ndim == 2 else np.tile(asked, (len(self.rows), 1))
        by_class = np.zeros(self.rows.shape, dtype=np.int64)
        for index in range(len(by_class)):
            whole = np.array(check_weights(rows[index].tolist(), self.rows.shape[1]), dtype=np.int64)
            voting = self.of(index)
            given = whole[voting]
            by_class[index, voting] = round_weights(given.astype(float) if given.any() else np.ones(len(voting)))
        return by_class

    def weights_without(self, member: int, weights: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the weights (C, M) in thousandths of a vote from which one member is left out.

        On every class the others that vote on it keep the ratio of their weights, or weigh equally where these are all
        0; a class on which no other member votes keeps the member.
        """
        changed = np.zeros_like(weights)
        for index, given in enumerate(weights):
            others = [other for other in self.of(index).tolist() if other != member] or [member]
            kept = given[others].astype(float)
            changed[index, others] = round_weights(kept if kept.any() else np.ones(len(others)))
        return changed


def find_voters(classes: Sequence[str], members: Sequence[Sequence[str] | None]) -> Voters:
    """Return who votes on which class.

    Args:
        classes: (C,) of the track.
        members: Of each member the classes of its maps, in their order; None is all of the track in its order.

    Raises:
        CompetitionError: A member predicts a class that the track does not have, or no member predicts some class.
    """
    known = [list(classes) if own is None else list(own) for own in members]
    for own in known:
        if unknown := [name for name in own if name not in classes]:
            raise CompetitionError(f"a member predicts unknown class {unknown[0]!r}{nearest_hint(unknown[0], classes)}")
    rows = np.array([[own.index(name) if name in own else -1 for own in known] for name in classes], dtype=np.int64)
    if missing := [name for name, row in zip(classes, rows, strict=True) if (row < 0).all()]:
        raise CompetitionError(
            f"no member predicts {', '.join(missing)}", repair="Add a run of all classes to --members of tune"
        )
    return Voters(rows)


def blend(maps: Sequence[ClassMap], weights: Sequence[int], voters: Voters | None = None) -> NDArray[np.uint8]:
    """Blend the members' probability maps of one image, with one class in memory beside the maps and the result.

    Args:
        maps: One uint8 (C, H, W) per member, in memory or opened; fewer classes where it predicts some only.
        weights: One per member, in thousandths, 1000 in sum.
        voters: Who votes on which class; None where all members predict all classes in one order.

    Returns:
        Probability map uint8 (C, H, W).

    Raises:
        CompetitionError: The maps have different sizes or the weights are not convex.
    """
    check_maps(maps, voters)
    voters = voters or everyone(maps[0].shape[0], len(maps))
    by_class = voters.weights_by_class(weights)
    blended = np.empty((len(by_class), *maps[0].shape[1:]), dtype=np.uint8)
    for index in range(len(blended)):
        blended[index] = blend_levels(voters.values(maps, index), by_class[index, voters.of(index)].tolist())
    return blended


def everyone(classes: int, members: int) -> Voters:
    """Return that all members vote on all classes, in the same order in their maps."""
    return Voters(np.tile(np.arange(classes)[:, None], (1, members)))


def check_maps(maps: Sequence[ClassMap], voters: Voters | None) -> None:
    """Make sure that maps have one size and the classes that their members predict.

    Raises:
        CompetitionError: Another size, or another number of classes.
    """
    expected = [maps[0].shape[0]] * len(maps) if voters is None else (voters.rows >= 0).sum(axis=0).tolist()
    if len({array.shape[1:] for array in maps}) != 1 or [array.shape[0] for array in maps] != expected:
        what = f"members' maps have different sizes: {[array.shape for array in maps]}"
        raise CompetitionError(what, repair="Make them again on the same images")
