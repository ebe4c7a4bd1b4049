"""Adversarial training: losses by hand, whose weights get gradients, whose turn it is, and that it deceives."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from colorize.models import Prediction, create
from colorize.models.registry import settings_of
from colorize.objectives import Objective, PhotoBatch
from colorize.objectives.base import turns
from colorize.settings.objectives import AdversarialSettings, RegressionSettings

Make = Callable[..., Objective]


class Constant(nn.Module):
    """A critic that gives true photos (ab 10) one score and all else another."""

    def __init__(self, true: float, made: float) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor([true, made]))

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        is_true = (picture[:, 1:] - 10 / 110).abs().amax(dim=(1, 2, 3)) < 1e-6
        return torch.where(is_true, self.scores[0], self.scores[1])[:, None]


def batch(photos: int = 2, epoch: int = 0, side: int = 24) -> PhotoBatch:
    l, ab = torch.full((photos, 1, side, side), 50.0), torch.full((photos, 2, side, side), 10.0)  # noqa: E741
    return PhotoBatch(l, ab, list(range(photos)), epoch=epoch, photos=photos)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


@pytest.mark.parametrize(
    ("loss", "network", "critic"),
    [
        ("vanilla", softplus(0.4), (softplus(-0.3) + softplus(-0.4)) / 2),
        ("lsgan", (-0.4 - 1) ** 2, ((0.3 - 1) ** 2 + 0.4**2) / 2),
        ("hinge", 0.4, ((1 - 0.3) + (1 - 0.4)) / 2),
    ],
)
def test_losses_are_those_of_the_docstring(loss: str, network: float, critic: float, make: Make) -> None:
    objective = make("unet", RegressionSettings(), AdversarialSettings(loss=loss, channels=4))
    assert objective.critic is not None
    objective.critic.network = Constant(true=0.3, made=-0.4)
    made = Prediction(torch.zeros(2, 2, 24, 24))
    first, second = objective.updates(lambda _, seeds: made, batch())  # type: ignore[arg-type]
    assert (first.group, second.group) == ("model", "critic")
    assert first.parts["adversarial"].item() == pytest.approx(network, rel=1e-5)
    assert second.loss.item() == pytest.approx(critic, rel=1e-5)


@pytest.mark.parametrize("critic", ["patchgan", "deoldify"])
def test_each_update_moves_its_own_network(critic: str, make: Make) -> None:
    torch.manual_seed(0)
    model = create("unet", settings_of("unet", {"channels": 4, "depth": 1}))
    objective = make("unet", RegressionSettings(), AdversarialSettings(critic=critic, channels=4))
    (theirs,) = objective.modules().values()
    for update in objective.updates(model, batch()):
        model.zero_grad(set_to_none=True)
        theirs.zero_grad(set_to_none=True)
        update.loss.backward()
        moved = {
            "model": any(parameter.grad is not None for parameter in model.parameters()),
            "critic": any(parameter.grad is not None for parameter in theirs.parameters()),
        }
        assert moved == {"model": update.group == "model", "critic": update.group == "critic"}
    assert all(parameter.requires_grad for parameter in theirs.parameters())


def test_turns_are_those_of_the_schedule(make: Make) -> None:
    scheduled = AdversarialSettings(channels=4, generator_epochs=2, critic_epochs=1)
    objective = make("unet", RegressionSettings(), scheduled)
    assert [turns(objective.critic, epoch) for epoch in (0, 1, 2, 3, 4)] == [
        (True, False),
        (True, False),
        (False, True),
        (True, True),
        (True, True),
    ]
    assert turns(objective.critic, None) == turns(None, 5) == (True, False)
    assert objective.settled == 3
    model = create("unet", settings_of("unet", {"channels": 4, "depth": 1}))
    for epoch, expected in ((0, ["model"]), (2, ["critic"]), (3, ["model", "critic"])):
        updates = list(objective.updates(model, batch(epoch=epoch)))
        assert [update.group for update in updates] == expected
        assert [set(update.parts) for update in updates if update.group == "model"] == [
            {"regression", "adversarial"} if epoch == 3 else {"regression"}
        ] * expected.count("model")


def test_measuring_asks_no_critic_and_leaves_it_as_it_is(make: Make) -> None:
    objective = make("unet", RegressionSettings(), AdversarialSettings(channels=4))
    (critic,) = objective.modules().values()
    before = {name: tensor.clone() for name, tensor in critic.state_dict().items()}
    model = create("unet", settings_of("unet", {"channels": 4, "depth": 1}))
    measured = batch()
    measured.seeds = None
    with torch.no_grad():
        (update,) = objective.updates(model, measured)
    assert set(update.parts) == {"regression"}
    assert all(torch.equal(before[name], tensor) for name, tensor in critic.state_dict().items())


def test_two_critics_are_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="one adversarial term at most"):
        make("unet", RegressionSettings(), AdversarialSettings(channels=4), AdversarialSettings(channels=4))


@pytest.mark.parametrize("loss", ["vanilla", "lsgan", "hinge"])
def test_a_critic_learns_to_tell_grey_from_colour(loss: str, make: Make) -> None:
    torch.manual_seed(1)
    objective = make("unet", RegressionSettings(), AdversarialSettings(loss=loss, channels=8))
    assert objective.critic is not None
    (critic,) = objective.modules().values()
    optimizer = torch.optim.Adam(critic.parameters(), lr=1e-3)
    l = torch.rand(4, 1, 32, 32) * 100  # noqa: E741
    truth = PhotoBatch(l, torch.randn(4, 2, 32, 32) * 30, list(range(4)), photos=4)
    grey = Prediction(torch.zeros(4, 2, 32, 32))
    losses = []
    for _ in range(15):
        optimizer.zero_grad()
        found = objective.critic.critic_loss(grey, truth)
        found.backward()
        optimizer.step()
        losses.append(found.item())
    assert losses[-1] < 0.5 * losses[0]
