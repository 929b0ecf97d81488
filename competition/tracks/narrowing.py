"""A track of some of its classes only, for a network that predicts no others."""

from collections.abc import Sequence
from dataclasses import replace

from competition.errors import CompetitionError
from competition.text import nearest_hint
from competition.tracks.track import Track


def narrow(track: Track, names: Sequence[str] | None) -> Track:
    """Return the track as a network sees it that predicts some classes only.

    Args:
        track: With all its classes; segmentation.
        names: The wanted classes, in any order; None, or all in the track's order, gives the track itself.

    Returns:
        The track with these classes in its own order; ``bits`` tells where they stand in the cached label planes.

    Raises:
        CompetitionError: A class is unknown or named twice, becomes one outside of the wanted when it is mirrored, or
            the track is no segmentation.
    """
    if names is None or tuple(names) == track.classes:
        return track
    if track.task != "segmentation":
        raise CompetitionError(f"data.classes leaves out masks, and track {track.name} has none")
    for name in names:
        if name not in track.classes:
            raise CompetitionError(f"data.classes: unknown class {name!r}{nearest_hint(name, track.classes)}")
    bits = tuple(index for index, name in enumerate(track.classes) if name in names)
    if len(bits) != len(names):
        raise CompetitionError(f"data.classes names a class twice: {', '.join(names)}")
    mirror = track.mirror
    if mirror is not None:
        mirrored = [mirror.classes[index] for index in bits]
        if set(mirrored) != set(bits):
            lost = track.classes[min(set(mirrored) - set(bits))]
            raise CompetitionError(f"data.classes lacks {lost!r}, which one of its classes becomes when mirrored")
        mirror = replace(mirror, classes=tuple(bits.index(index) for index in mirrored))
    kept = {group: tuple(name for name in classes if name in names) for group, classes in track.class_groups.items()}
    return replace(
        track,
        classes=tuple(track.classes[index] for index in bits),
        mirror=mirror,
        bits=bits,
        class_groups={group: classes for group, classes in kept.items() if classes},
    )
