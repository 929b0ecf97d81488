"""An encoder that learns without labels which small patches occur, and measures how much of each an image shows.

A few hundred labels teach convolutions little, but every image has thousands of patches. Whitened patches are grouped
by k-means, and each group's centre is a feature: how near the patches of an image come to it, in the mean over all
places (how many things look like this?) and at the best place (is there any?). Only the head learns from labels.
On 264 photographs of blood cells its AUROC for the presence of platelets is far above that of networks trained from
scratch (docs/measurements.md). Reference: Coates, Lee and Ng 2011, "An analysis of single-layer networks in
unsupervised feature learning", with their "triangle" activation.
"""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from competition.errors import CompetitionError
from competition.models.layers import without_autocast

SIDE = 12
"""Pixels of a patch."""
STRIDE = 2
"""Pixels between patches."""
PARTS = 48
"""Principal components that are kept of a patch; in blood cells at 160 pixels they hold 98 % of the variance."""
WORDS = 400
"""Groups of patches."""
PATCHES = 40_000
"""Patches that are grouped, drawn from all images at random."""


class PatchEncoder(nn.Module):
    """Whitened patches, their nearness to each centre, and mean and maximum of it over all places."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, channels: int, words: int = WORDS) -> None:
        """Build the encoder for images of 1 or 3 ``channels``, with random patches until ``learn`` is called."""
        super().__init__()
        self.num_features = 2 * words
        self.out_channels = (words,)  # of the map that Grad-CAM explains
        self.whitening = nn.Conv2d(channels, PARTS, SIDE, STRIDE)
        self.nearness = _Nearness(words)
        self.register_buffer("mean", torch.zeros(2 * words))
        self.register_buffer("deviation", torch.ones(2 * words))
        self.requires_grad_(False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features (N, 2 * words) float32, standardised, of images (N, channels, H, W)."""
        with without_autocast(images.device):  # differences of large squares
            found: torch.Tensor = (self._pooled(images.float()) - self.mean) / self.deviation
        return found

    def _pooled(self, images: torch.Tensor) -> torch.Tensor:
        near = self.nearness(self.whitening(images))
        return torch.cat([near.mean(dim=(2, 3)), near.amax(dim=(2, 3))], dim=1)

    @torch.no_grad()
    def learn(self, batches: Callable[[], Iterable[torch.Tensor]], images: int, seed: int) -> None:
        """Learn the patches, and the mean and deviation of each feature.

        Args:
            batches: Gives the same batches of images (N, channels, H, W) float32 at each call.
            images: How many there are in all.
            seed: Of the choice of patches and the start of k-means.

        Raises:
            CompetitionError: There are fewer patches than groups, because each image is of a single colour.
        """
        from sklearn.cluster import MiniBatchKMeans

        random = torch.Generator().manual_seed(seed)
        every = torch.cat([_draw_patches(batch, -(-PATCHES // images), random) for batch in batches()]).double()
        words = len(self.nearness.words)
        if len(every) < words:
            what = f"the training images have only {len(every)} patches that are not of a single colour"
            raise CompetitionError(what, None, "Look at the contact sheet of prepare, or choose another model.encoder")
        centre = every.mean(dim=0)
        variances, axes = torch.linalg.eigh(torch.cov((every - centre).T))
        # Whitening raises small variances, which are noise, to the level of all else.
        whitening = axes[:, -PARTS:] / (variances[-PARTS:] + 0.01 * variances[-1]).sqrt()
        whitened = (every - centre) @ whitening
        groups = MiniBatchKMeans(words, batch_size=2000, max_iter=30, n_init=1, random_state=seed)
        groups.fit(whitened.float().numpy())
        assert self.whitening.bias is not None
        self.whitening.weight.copy_(whitening.T.reshape(self.whitening.weight.shape))
        self.whitening.bias.copy_(-(centre @ whitening))
        self.nearness.words.copy_(torch.from_numpy(groups.cluster_centers_))
        features = torch.cat([self._pooled(batch) for batch in batches()])
        self.mean.copy_(features.mean(dim=0))
        self.deviation.copy_(features.std(dim=0).clamp_min(1e-6))


class _Nearness(nn.Module):
    """How much nearer than the mean centre a patch is to each, 0 where it is farther."""

    def __init__(self, words: int) -> None:
        super().__init__()
        self.words = nn.Parameter(torch.randn(words, PARTS))

    def forward(self, whitened: torch.Tensor) -> torch.Tensor:
        """Return (N, words, h, w) of whitened patches (N, PARTS, h, w)."""
        words = self.words[:, :, None, None]
        # |a - b|^2 = |a|^2 - 2 ab + |b|^2
        rest = nn.functional.conv2d(whitened, -2 * words, self.words.square().sum(dim=1))
        distances = (rest + whitened.square().sum(dim=1, keepdim=True)).clamp_min(1e-12).sqrt()
        return (distances.mean(dim=1, keepdim=True) - distances).relu()


def _draw_patches(images: torch.Tensor, each: int, random: torch.Generator) -> torch.Tensor:
    """Return patches (n, channels * SIDE * SIDE) of images, ``each`` of one, without those of a single colour."""
    rows, columns = (side - SIDE + 1 for side in images.shape[2:])
    numbers = torch.arange(len(images)).repeat_interleave(each)
    top, left = (torch.randint(count, numbers.shape, generator=random) for count in (rows, columns))
    windows = images.unfold(2, SIDE, 1).unfold(3, SIDE, 1)
    patches = windows[numbers, :, top, left].flatten(1)
    return patches[patches.std(dim=1) > 0]
