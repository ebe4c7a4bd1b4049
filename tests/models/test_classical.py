"""The methods without learning: exact small cases, agreement with plain arithmetic, any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from colorize.models import Hints
from colorize.models.color_by_optimization import MAXIMUM_PIXELS, ColorByOptimization, affinities, spread
from colorize.models.histogram_matching import HistogramMatching, Reference, jittered_grid, local_deviation
from colorize.settings.architectures import ColorByOptimizationSettings, HistogramMatchingSettings


def matching(reference: Reference | None, **settings: int) -> HistogramMatching:
    return HistogramMatching(HistogramMatchingSettings(**settings), reference)


def spreading(window: int = 3) -> ColorByOptimization:
    return ColorByOptimization(ColorByOptimizationSettings(window=window))


def hints_at(size: tuple[int, int], known: dict[tuple[int, int], tuple[float, float]]) -> Hints:
    hints = Hints(torch.zeros(1, 2, *size), torch.zeros(1, 1, *size))
    for (row, column), ab in known.items():
        hints.ab[0, :, row, column] = torch.tensor(ab)
        hints.mask[0, 0, row, column] = 1
    return hints


def random(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def colored() -> Reference:
    """A photo whose colour follows from its lightness."""
    l = 100 * random(1, 30, 40)  # noqa: E741
    return Reference(l, torch.cat([l - 50, 0.5 * (50 - l)]))


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 2), (3, 200), (37, 53), (96, 96)])
def test_any_size_comes_out_as_it_went_in(size: tuple[int, int], colored: Reference) -> None:
    l = 100 * random(2, 1, *size)  # noqa: E741
    mask = (random(2, 1, *size, seed=1) < 0.2).float()
    hints = Hints((100 * random(2, 2, *size, seed=2) - 50) * mask, mask)
    tiny = Reference(colored.l[:, :1, :1], colored.ab[:, :1, :1])
    for prediction in (
        matching(colored).predict(l),
        matching(tiny, neighbourhood=4).predict(l),
        *(spreading(window).predict(l, hints) for window in (3, 5, 9)),
    ):
        assert prediction.ab.shape == (2, 2, *size)
        assert prediction.ab.dtype == torch.float32
        assert prediction.ab.isfinite().all()
        assert prediction.l is None


def test_they_learn_nothing_and_leave_grey_what_they_are_told_nothing_of() -> None:
    l = 100 * random(2, 1, 9, 11)  # noqa: E741
    for method in (matching(None), spreading()):
        assert not method.trained
        assert not list(method.parameters())
        assert not method.predict(l).ab.any()
    assert not spreading().predict(l, Hints(torch.zeros(2, 2, 9, 11), torch.zeros(2, 1, 9, 11))).ab.any()


def test_matching_takes_no_hints_and_only_photos_as_reference(colored: Reference) -> None:
    with pytest.raises(ValueError, match="takes no colour hints"):
        matching(colored).predict(torch.zeros(1, 1, 4, 4), hints_at((4, 4), {}))
    for wrong in (Reference(colored.l, colored.ab[:1]), Reference(colored.l[0], colored.ab)):
        with pytest.raises(ValueError, match="expected a reference of shape"):
            matching(wrong)


def test_a_photo_matched_to_itself_gets_nearly_its_own_colours(colored: Reference) -> None:
    own = matching(colored, samples=20_000).predict(colored.l[None]).ab[0]
    assert (own - colored.ab).abs().mean() < 0.01
    few = matching(colored).predict(colored.l[None]).ab[0]
    assert (few - colored.ab).abs().mean() < 5


def test_lightness_is_matched_after_brightness_and_contrast_are(colored: Reference) -> None:
    own = matching(colored).predict(colored.l[None]).ab
    torch.testing.assert_close(matching(colored).predict(20 + 0.4 * colored.l[None]).ab, own)


def test_pixels_take_the_sample_at_the_least_distance(colored: Reference) -> None:
    method = matching(colored, samples=50)
    l = 100 * random(1, 1, 12, 10, seed=3)  # noqa: E741
    scale = colored.l.std(correction=0) / l.std(correction=0)
    lightness = (l - l.mean()) * scale + colored.l.mean()
    texture = local_deviation(l, 5) * scale
    found = method.predict(l).ab[0]
    for row in range(12):
        for column in range(10):
            distance = 0.5 * (method.lightness - lightness[0, 0, row, column]).abs()
            distance += 0.5 * (method.deviation - texture[0, 0, row, column]).abs()
            torch.testing.assert_close(found[:, row, column], method.ab[:, distance.argmin()])


def test_texture_tells_apart_what_lightness_does_not() -> None:
    even, stripes = torch.full((1, 20, 20), 50.0), torch.full((1, 20, 20), 50.0)
    stripes[..., ::2] += 30
    stripes[..., 1::2] -= 30
    l = torch.cat([even, stripes], dim=2)  # noqa: E741
    is_even = torch.arange(40).expand(20, 40) < 20
    ab = torch.stack([torch.where(is_even, 40.0, -40.0), torch.zeros(20, 40)])
    found = matching(Reference(l, ab), samples=800).predict(l[None]).ab[0, 0]
    assert (found[:, :18] == 40).all()
    assert (found[:, 22:] == -40).all()


def test_a_photo_of_one_tone_gets_one_colour(colored: Reference) -> None:
    ab = matching(colored).predict(torch.full((1, 1, 20, 30), 33.3)).ab
    assert (ab == ab[..., :1, :1]).all()


@pytest.mark.parametrize("size", [(96, 96), (7, 300), (300, 7), (1, 1), (3, 2)])
@pytest.mark.parametrize("samples", [1, 2, 200, 777])
def test_samples_lie_one_in_each_cell_of_a_grid(size: tuple[int, int], samples: int) -> None:
    rows, columns = jittered_grid(size, samples, seed=0)
    assert rows.shape == columns.shape == (samples,)
    assert rows.min() >= 0 <= columns.min()
    assert rows.max() < size[0]
    assert columns.max() < size[1]
    for seed, equal in ((0, True), (1, False)):
        again = jittered_grid(size, samples, seed)
        assert torch.equal(torch.stack(again), torch.stack([rows, columns])) is equal or size == (1, 1) or samples < 3
    if size == (96, 96) and samples == 200:
        # Fourteen lines of fourteen or fifteen: no quarter has many more or fewer than its share.
        for down in (False, True):
            for right in (False, True):
                assert 43 <= (((rows >= 48) == down) & ((columns >= 48) == right)).sum() <= 57


def test_matching_is_deterministic_by_seed_and_saved_like_a_network(colored: Reference) -> None:
    l = 100 * random(1, 1, 20, 20, seed=5)  # noqa: E741
    first = matching(colored).predict(l).ab
    assert torch.equal(matching(colored).predict(l).ab, first)
    assert not torch.equal(matching(colored, seed=1).predict(l).ab, first)
    loaded = matching(None)
    loaded.load_state_dict(matching(colored).state_dict())
    assert torch.equal(loaded.predict(l).ab, first)


@pytest.mark.parametrize("side", [1, 4, 5, 31])
def test_deviation_is_that_of_the_square_within_the_photo(side: int) -> None:
    l = 100 * random(1, 1, 9, 12)  # noqa: E741
    found = local_deviation(l, side)
    before, after = side // 2, (side - 1) // 2
    for row in range(9):
        for column in range(12):
            square = l[..., max(0, row - before) : row + after + 1, max(0, column - before) : column + after + 1]
            assert found[0, 0, row, column] == pytest.approx(square.std(correction=0).item(), abs=1e-4)


def test_matching_can_be_exported(colored: Reference) -> None:
    method, l = matching(colored), 100 * random(1, 1, 16, 24)  # noqa: E741
    torch.testing.assert_close(torch.export.export(method, (l,)).module()(l).ab, method(l).ab)


def test_hints_fill_their_side_of_a_strong_edge() -> None:
    l = torch.full((1, 1, 16, 16), 20.0)  # noqa: E741
    l[..., 8:] = 80
    hints = hints_at((16, 16), {(3, 2): (40.0, -10.0), (12, 13): (-30.0, 50.0)})
    ab = spreading().predict(l, hints).ab
    torch.testing.assert_close(ab[..., :8], hints.ab[..., 3:4, 2:3].expand(1, 2, 16, 8), atol=2.5, rtol=0)
    torch.testing.assert_close(ab[..., 8:], hints.ab[..., 12:13, 13:14].expand(1, 2, 16, 8), atol=2.5, rtol=0)
    assert torch.equal(ab[..., 3, 2], hints.ab[..., 3, 2])
    assert torch.equal(ab[..., 12, 13], hints.ab[..., 12, 13])


def test_between_two_hints_an_even_line_is_a_ramp() -> None:
    ab = (
        spreading().predict(torch.full((1, 1, 1, 11), 50.0), hints_at((1, 11), {(0, 0): (0, 50), (0, 10): (100, 0)})).ab
    )
    torch.testing.assert_close(ab[0, 0, 0], torch.linspace(0, 100, 11))
    torch.testing.assert_close(ab[0, 1, 0], torch.linspace(50, 0, 11))


@pytest.mark.parametrize("window", [3, 5, 9])
def test_one_hint_colours_all_of_a_photo(window: int) -> None:
    l = torch.full((1, 1, 24, 24), 50.0)  # noqa: E741
    l[0, 0, 5, 5] = 51  # for a large window the weight of this one pixel is less than float64 has digits
    ab = spreading(window).predict(l, hints_at((24, 24), {(5, 5): (30, -20)})).ab
    torch.testing.assert_close(ab, torch.tensor([30.0, -20.0]).view(1, 2, 1, 1).expand_as(ab), atol=1e-3, rtol=0)


@pytest.mark.parametrize("window", [3, 5])
def test_the_solution_is_that_of_the_equations_written_out(window: int) -> None:
    """The equations of the paper pixel by pixel, dense, on 8 x 8."""
    generator = np.random.default_rng(0)
    l, ab = generator.uniform(0, 100, (8, 8)), generator.uniform(-60, 60, (2, 8, 8))  # noqa: E741
    mask = generator.random((8, 8)) < 0.1
    assert mask.sum() > 2
    system, given, y = np.eye(64), np.zeros((64, 2)), l / 100
    reach = window // 2
    for row in range(8):
        for column in range(8):
            number = 8 * row + column
            if mask[row, column]:
                given[number] = ab[:, row, column]
                continue
            around = [
                (i, j)
                for i in range(max(0, row - reach), min(8, row + reach + 1))
                for j in range(max(0, column - reach), min(8, column + reach + 1))
            ]
            variance = np.var([y[place] for place in around])
            around.remove((row, column))
            squares = np.array([(y[place] - y[row, column]) ** 2 for place in around])
            weights = np.exp(-squares / max(0.6 * variance, squares.min() / -np.log(0.01), 2e-6))
            for place, weight in zip(around, weights / weights.sum(), strict=True):
                system[number, 8 * place[0] + place[1]] = -weight
    expected = np.linalg.solve(system, given).T.reshape(2, 8, 8)
    np.testing.assert_allclose(spread(l, ab * mask, mask.astype(float), window), expected, atol=1e-5)


def test_weights_add_up_and_keep_within_the_photo() -> None:
    weights, neighbours = affinities(np.random.default_rng(0).random((6, 9)), 5)
    assert weights.shape == neighbours.shape == (24, 54)
    np.testing.assert_allclose(weights.sum(axis=0), 1)
    assert (weights[neighbours < 0] == 0).all()
    assert (weights[neighbours >= 0] > 0).all()
    assert sorted(neighbours[neighbours[:, 0] >= 0, 0]) == [1, 2, 9, 10, 11, 18, 19, 20]


def test_what_lies_under_no_hint_is_not_read() -> None:
    l, hints = 100 * random(1, 1, 10, 10), hints_at((10, 10), {(2, 2): (10, 20), (7, 7): (-10, 5)})  # noqa: E741
    expected = spreading().predict(l, hints).ab
    dirty = Hints(torch.where(hints.mask > 0, hints.ab, torch.nan), hints.mask)
    assert torch.equal(spreading().predict(l, dirty).ab, expected)


def test_a_photo_in_a_batch_gets_what_it_gets_alone() -> None:
    l, mask = 100 * random(3, 1, 12, 9), (random(3, 1, 12, 9, seed=1) < 0.1).float()  # noqa: E741
    mask[1] = 0
    hints = Hints(50 * random(3, 2, 12, 9, seed=2) * mask, mask)
    together = spreading().predict(l, hints).ab
    assert not together[1].any()
    alone = spreading().predict(l[2:], Hints(hints.ab[2:], mask[2:])).ab
    assert torch.equal(together[2:], alone)


def test_a_large_photo_is_solved_smaller_and_keeps_its_hints() -> None:
    size = (300, 420)
    assert size[0] * size[1] > MAXIMUM_PIXELS
    l = torch.full((1, 1, *size), 30.0)  # noqa: E741
    l[..., 210:] = 70
    hints = hints_at(size, {(10, 10): (40, 0), (11, 11): (20, 0), (290, 400): (-40, 30)})
    ab = spreading().predict(l, hints).ab
    assert ab.shape == (1, 2, *size)
    assert torch.equal(ab * hints.mask, hints.ab)
    assert ab[0, 0, :, :200].mean() > 10
    assert ab[0, 0, :, 220:].mean() < -20
