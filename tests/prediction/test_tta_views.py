from dataclasses import replace

import numpy as np
import pytest
import torch

from competition.errors import CompetitionError
from competition.prediction.scaled_views import SCALES, scaled_size
from competition.prediction.tta_views import VIEWS, check_views, is_mirrored, scale_back, see

ALL = [
    "identity", "rotate90", "rotate180", "rotate270", "hflip", "hflip_rotate90", "hflip_rotate180", "hflip_rotate270",
]  # fmt: skip


def test_the_eight_views_of_a_square_are_known():
    assert sorted(VIEWS) == sorted(ALL)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("size_hw", [(6, 6), (5, 8), (1, 3)])
def test_the_inverse_restores_the_input_exactly(name, size_hw):
    image = torch.arange(2 * size_hw[0] * size_hw[1], dtype=torch.float32).reshape(1, 2, *size_hw)
    assert torch.equal(VIEWS[name].deaugment_mask(VIEWS[name].augment_image(image)), image)


@pytest.mark.parametrize("name", ALL)
def test_a_view_shows_what_its_name_says(name):
    image = np.arange(12.0).reshape(3, 4)
    expected = image[:, ::-1] if name.startswith("hflip") else image
    if "rotate" in name:
        expected = np.rot90(expected, int(name.partition("rotate")[2]) // 90)
    shown = VIEWS[name].augment_image(torch.tensor(image)[None, None])[0, 0]
    assert np.array_equal(shown.numpy(), expected)


def test_no_two_views_show_the_same():
    image = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert len({tuple(VIEWS[name].augment_image(image).flatten().tolist()) for name in VIEWS}) == 8


@pytest.mark.parametrize("name", ALL)
def test_views_whose_handedness_changes_are_called_mirrored(name):
    # A mirror image can't be turned back by rotation; the sign of the determinant says so without knowing names.
    rows, columns = torch.meshgrid(torch.arange(3.0), torch.arange(3.0), indexing="ij")
    seen_rows, seen_columns = (VIEWS[name].augment_image(grid[None, None])[0, 0] for grid in (rows, columns))
    down = torch.tensor([seen_rows[1, 0] - seen_rows[0, 0], seen_columns[1, 0] - seen_columns[0, 0]])
    right = torch.tensor([seen_rows[0, 1] - seen_rows[0, 0], seen_columns[0, 1] - seen_columns[0, 0]])
    determinant = float(down[0] * right[1] - down[1] * right[0])
    assert is_mirrored(name) == (determinant < 0)


def test_allowed_views_pass(shared_hands, shared_patients):
    check_views(ALL, shared_hands.track)
    check_views(["identity", "hflip"], shared_patients.track)
    check_views(["identity", "rotate90"], replace(shared_hands.track, mirror=None))


def test_a_mirrored_view_is_refused_where_the_track_has_no_mirror(shared_hands, shared_patients):
    for track, name in ((shared_hands.track, "hflip_rotate90"), (shared_patients.track, "hflip")):
        with pytest.raises(CompetitionError, match=f"{name} mirrors the images, which track {track.name} does not"):
            check_views(["identity", name], replace(track, mirror=None))


def test_rotations_are_refused_for_several_views(shared_patients):
    with pytest.raises(CompetitionError, match="'rotate180' is not defined for the 4 views of track tiny_patients"):
        check_views(["rotate180"], shared_patients.track)


def test_no_view_and_an_unknown_view_are_refused(shared_hands):
    with pytest.raises(CompetitionError, match=r"predict.views is empty"):
        check_views([], shared_hands.track)
    with pytest.raises(CompetitionError, match="unknown view 'hflp', did you mean 'hflip'"):
        check_views(["hflp"], shared_hands.track)


def test_an_upright_track_is_seen_only_as_it_is(shared_hands):
    upright = replace(shared_hands.track, upright=True)
    check_views(["identity"], upright)
    for name in ALL:
        if name != "identity":
            with pytest.raises(CompetitionError, match=f"view '{name}' turns or mirrors the image"):
                check_views(["identity", name], upright)


def test_scaled_views_are_for_masks_also_of_upright_tracks(shared_hands, shared_patients):
    check_views(["identity", *SCALES], shared_hands.track)
    check_views([*SCALES], replace(shared_hands.track, upright=True))
    with pytest.raises(CompetitionError, match="view 'scale75' is for masks, and track tiny_patients has none"):
        check_views(["identity", "scale75"], shared_patients.track)
    with pytest.raises(CompetitionError, match="unknown view 'scale57', did you mean 'scale75'"):
        check_views(["scale57"], shared_hands.track)


def test_a_scaled_view_has_as_many_pixels_as_its_name_says():
    assert scaled_size((512, 300), "scale75") == (384, 225)
    assert scaled_size((512, 300), "scale125") == (640, 375)
    assert scaled_size((1, 1), "scale75") == (1, 1)
    assert scaled_size((5, 7), "hflip") == (5, 7)


@pytest.mark.parametrize("view", SCALES)
@pytest.mark.parametrize("finer", [1, 3])
def test_places_stay_where_they_are_at_another_scale(view, finer):
    # Rows and columns as a picture: bilinear resizing keeps straight lines, except beside the border.
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(40.0), indexing="ij")
    image = torch.stack([rows, columns])[None]
    seen = see(image, view)
    assert seen.shape[-2:] == scaled_size((24, 40), view)
    answer = torch.nn.functional.interpolate(seen, scale_factor=finer, mode="bilinear", align_corners=False)
    back = scale_back(answer, view, seen, image)
    assert back.shape[-2:] == (finer * 24, finer * 40)
    places = (torch.arange(finer * 24) + 0.5) / finer - 0.5
    np.testing.assert_allclose(
        back[0, 0, 3 * finer : -3 * finer, 20 * finer], places[3 * finer : -3 * finer], atol=1e-4
    )
