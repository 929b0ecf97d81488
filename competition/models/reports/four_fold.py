"""The aneurysm report's recipe: four networks for four data sets, here trained at once over a patient's eight views.

The report divides the images into anterior ones (carotid injection) and posterior ones (vertebral injection) and learns
two things from each: whether there is any aneurysm, and where. An image is only asked about the arteries of its own
injection and side, and the side is dropped from their names. The four networks share no weight, so one pass over the
views with the sum of the four losses (``losses.four_sets``) trains each as it would be trained alone; a step's gradient
must not be clipped, because that would couple them. Unlike the report's, a batch holds all views of its patients.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from competition.models.layers import head_in_float32, start_from_prior
from competition.models.multiview import view_maximum, view_network

# The report counts the posterior communicating artery to the vertebral injection alone.
ARTERIES = {
    "anterior": ("ICA", "AntChor", "ACA", "ACOM", "MCA"),
    "posterior": ("VA", "PICA", "SCA", "BA", "PCA", "PCOM"),
}
INJECTION = {"anterior": "I", "posterior": "V"}


class ReportFourFold(nn.Module):
    """Two binary networks and two multi-label networks, joined by the report's rules."""

    shown: torch.Tensor
    artery: torch.Tensor

    def __init__(
        self,
        encoder: str,
        anterior_encoder: str,
        pretrained: bool,
        binary_pretrained: bool,
        channels: int,
        classes: Sequence[str],
        views: Sequence[str],
        size: int,
        prior: float,
        dropout: float,
    ) -> None:
        """Build the networks; arguments as in ``MultiViewClassifier`` but for the following.

        ``encoder`` is the timm name of three of the four (the report's is resnet18), ``anterior_encoder`` that of the
        network of anterior locations (swinv2_cr_tiny_ns_224). ``pretrained`` starts the two location networks from
        timm's weights, ``binary_pretrained`` the other two. Classes ("Aneurysm", then locations with their side) and
        views have the names of the aneurysm track.
        """
        super().__init__()
        self.supplies = {
            supply: [number for number, view in enumerate(views) if view[1] == letter]
            for supply, letter in INJECTION.items()
        }
        self.binary = nn.ModuleDict(
            {supply: BinaryNetwork(encoder, binary_pretrained, channels, size, dropout) for supply in ARTERIES}
        )
        anterior = view_network(anterior_encoder, pretrained, channels, len(ARTERIES["anterior"]), size, dropout)
        posterior = PosteriorLocations(encoder, pretrained, channels, len(ARTERIES["posterior"]), size, dropout)
        self.locations = nn.ModuleDict({"anterior": anterior, "posterior": posterior})
        for network in (*self.binary.values(), *self.locations.values()):
            start_from_prior(head_in_float32(network), prior)
        artery = torch.tensor([[_artery_number(name, view) for name in classes[1:]] for view in views])
        self.register_buffer("shown", artery >= 0, persistent=False)
        self.register_buffer("artery", artery.clamp_min(0), persistent=False)

    def forward(self, images: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return logits (N, C); while training those of every view (N, V, C), minus infinity where it is not asked."""
        logits = self._view_logits(images)
        if self.training:
            return logits.masked_fill(~present[:, :, None], float("-inf"))
        return self._join(logits, present | ~present.any(dim=1, keepdim=True))

    def _view_logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (N, V, C) of every view alone; minus infinity for locations that it is not asked about."""
        patients, views = images.shape[:2]
        nowhere = torch.full((patients, views, 1 + self.shown.shape[1]), float("-inf"), device=images.device)
        for supply, numbers in self.supplies.items():
            pictures = images[:, numbers].flatten(0, 1)
            # Standardised pictures are inverted by their sign. Only the binary networks saw inverted ones.
            found = self.binary[supply](-pictures).float().unflatten(0, (patients, len(numbers)))
            where = self.locations[supply](pictures).float().unflatten(0, (patients, len(numbers)))
            by_class = where.gather(2, self.artery[numbers].expand(patients, -1, -1))
            by_class = by_class.masked_fill(~self.shown[numbers], float("-inf"))
            nowhere[:, numbers] = torch.cat([found, by_class], dim=2)
        return nowhere

    def _join(self, logits: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        """Return the report's inference: from the views' logits (N, V, C) to the patients' (N, C).

        The aneurysm score is the larger of two means, over the probabilities of the anterior and of the posterior
        views. A location is the maximum over the views that show it.
        """
        probs, counted = logits[:, :, 0].sigmoid(), present.float()
        means = [
            (probs[:, numbers] * counted[:, numbers]).sum(dim=1) / counted[:, numbers].sum(dim=1).clamp_min(1)
            for numbers in self.supplies.values()
        ]
        score = torch.stack(means, dim=1).amax(dim=1, keepdim=True).logit(eps=1e-6)
        return torch.cat([score, view_maximum(logits[:, :, 1:], present[:, :, None] & self.shown)], dim=1)


class BinaryNetwork(nn.Module):
    """Predicts whether there is any aneurysm: the report's head 512-256-128-16-1 on an encoder of 512 features."""

    def __init__(self, encoder: str, pretrained: bool, channels: int, size: int, dropout: float) -> None:
        """Build encoder and head."""
        super().__init__()
        self.encoder = view_network(encoder, pretrained, channels, 0, size)
        self.head = perceptron(self.encoder.num_features, 256, 128, 16, 1, dropout=dropout)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 1) for images (n, channels, H, W)."""
        logits: torch.Tensor = self.head(self.encoder(pictures))
        return logits


class PosteriorLocations(nn.Module):
    """Grey to three colours by a 1x1 convolution, an ImageNet network with its 1000 outputs, head 1000-100-10-n."""

    def __init__(self, encoder: str, pretrained: bool, channels: int, outputs: int, size: int, dropout: float) -> None:
        """Build the layers."""
        super().__init__()
        self.colours = nn.Conv2d(channels, 3, 1)
        self.network = view_network(encoder, pretrained, 3, 1000, size)
        self.head = perceptron(1000, 100, 10, outputs, dropout=dropout)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return logits (n, outputs) for images (n, channels, H, W)."""
        logits: torch.Tensor = self.head(self.network(self.colours(pictures)))
        return logits


def perceptron(*sizes: int, dropout: float) -> nn.Sequential:
    """Return linear layers with a ReLU between any two, and dropout before the last."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(dropout), nn.Linear(sizes[-2], sizes[-1]))


def _artery_number(class_name: str, view: str) -> int:
    """Return which output of its view's network a location is (L_ICA in LI-A: 0); -1 where the view is not asked."""
    side, _, artery = class_name.rpartition("_")
    asked = next(arteries for supply, arteries in ARTERIES.items() if view[1] == INJECTION[supply])
    return asked.index(artery) if artery in asked and side in ("", view[0]) else -1
