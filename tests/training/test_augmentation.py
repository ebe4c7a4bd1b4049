"""Augmentation: random parts and lighting that follow from a photo's seed alone, and smaller photos at first."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from colorize.objectives import PhotoBatch
from colorize.training.augmentation import augment, enlarged, pixels_of, shrink


@pytest.fixture(autouse=True)
def only_deterministic_algorithms() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def noise(photos: int, side: int, seed: int = 1) -> PhotoBatch:
    """Photos in which no pixel says anything about its neighbour."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 256, (photos, 3, side, side), generator=generator).float()
    seeds = torch.randint(0, 2**62, (photos,), generator=generator).tolist()
    return PhotoBatch(codes[:, :1] / 2.55, codes[:, 1:] - 128, seeds)


def ramps(photos: int, side: int) -> PhotoBatch:
    """Photos of which a says the column, b the row and L their mean: pixels tell where they are from."""
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    ab = torch.stack([column, row]).float().expand(photos, 2, side, side)
    return PhotoBatch(ab.mean(dim=1, keepdim=True), ab, list(range(photos)))


def parts(batch: PhotoBatch) -> Tensor:
    """Side, left edge and upper edge, as shares, of the parts that enlarged ramps show: 3 x N."""
    size = batch.ab.shape[-1]
    # Away from the border, where nothing is cut off.
    columns, rows = batch.ab[:, 0, 1, 1:-1], batch.ab[:, 1, 1:-1, 1]
    side = (columns[:, -1] - columns[:, 0]) / (size - 3)
    torch.testing.assert_close((rows[:, -1] - rows[:, 0]) / (size - 3), side)
    # The middle of pixel 1 lies 1.5 enlarged pixels from the edge of the part.
    return torch.stack([side, *((line[:, 0] + 0.5 - 1.5 * side) / size for line in (columns, rows))])


def test_without_crop_and_lighting_a_batch_is_returned_as_it_is() -> None:
    batch = noise(2, 16)
    assert augment(batch, 1, 0) is batch
    measured = PhotoBatch(batch.l, batch.ab)
    assert augment(measured, 1.0, 0.0) is measured


def test_the_whole_photo_enlarged_is_the_photo() -> None:
    whole, at_the_edge = np.ones(3), np.zeros(3)
    photos = noise(3, 64).ab
    assert torch.equal(enlarged(photos, whole, at_the_edge, at_the_edge), photos)
    # Where pixels are no power of two, places are rounded to some 5e-6 of a pixel: even in noise 255 units deep
    # colours change by less than a hundredth of a code.
    photos = noise(3, 96).ab
    torch.testing.assert_close(enlarged(photos, whole, at_the_edge, at_the_edge), photos, rtol=0, atol=2e-3)
    photos = ramps(3, 96).ab
    torch.testing.assert_close(enlarged(photos, whole, at_the_edge, at_the_edge), photos, rtol=0, atol=1e-4)


def test_a_part_is_enlarged_bilinearly() -> None:
    """Half of a photo of 4 pixels, a quarter from the left: columns 1 and 2, whose enlarged pixels are half as wide."""
    part = enlarged(ramps(1, 4).ab, np.array([0.5]), np.array([0.25]), np.array([0.0]))
    columns = torch.tensor([0.75, 1.25, 1.75, 2.25])
    rows = torch.tensor([0.0, 0.25, 0.75, 1.25])  # the first would be -0.25: beyond the border it goes on as it is
    torch.testing.assert_close(part[0, 0], columns.expand(4, 4))
    torch.testing.assert_close(part[0, 1], rows[:, None].expand(4, 4))


def test_lightness_and_colour_are_of_the_same_part() -> None:
    batch = augment(ramps(20, 16), 0.5, 0)
    torch.testing.assert_close(batch.l, batch.ab.mean(dim=1, keepdim=True))


def test_parts_are_uniform_in_size_and_place() -> None:
    side, left, top = parts(augment(ramps(1000, 16), 0.4, 0))
    assert 0.4 <= side.min() < 0.41
    assert 0.99 < side.max() <= 1
    assert min(left.min(), top.min()) > -1e-5
    assert max((left + side).max(), (top + side).max()) < 1 + 1e-5
    some = side < 0.95  # in larger ones the place is not seen exactly
    drawn = torch.stack([(side - 0.4) / 0.6, left / (1 - side), top / (1 - side)])[:, some]
    quarters = torch.stack([torch.histc(line, 4, 0, 1) / some.sum() for line in drawn[1:]])
    assert (quarters - 0.25).abs().max() < 0.06
    assert abs(side.mean() - 0.7) < 0.03
    assert (torch.corrcoef(drawn) - torch.eye(3)).abs().max() < 0.12


def test_lighting_is_a_power_that_keeps_black_white_and_colours() -> None:
    levels = torch.tensor([0.0, 25.0, 50.0, 100.0]).reshape(1, 1, 2, 2).expand(1000, 1, 2, 2)
    batch = PhotoBatch(levels, torch.zeros(1000, 2, 2, 2), list(range(1000)))
    lit = augment(batch, 1, 0.3)
    assert lit.ab is batch.ab
    black, quarter, half, white = (lit.l / 100).flatten(1).T
    assert (black == 0).all()
    assert (white == 1).all()
    torch.testing.assert_close(quarter, half**2)  # (1/4)**g is ((1/2)**g)**2
    drawn = (half.log() / np.log(0.5)).log()  # (1/2)**exp(u)
    assert -0.3 - 1e-5 < drawn.min() < -0.29
    assert 0.29 < drawn.max() < 0.3 + 1e-5
    assert abs(drawn.mean()) < 0.02
    assert abs(drawn.std() - 0.3 / np.sqrt(3)) < 0.01


def test_lightness_stays_within_its_range() -> None:
    lit = augment(noise(50, 17), 0.3, 0.9).l
    assert lit.min() >= 0
    assert lit.max() <= 100 + 1e-4


def test_a_photo_alone_is_what_it_is_in_any_batch() -> None:
    batch = noise(9, 17)
    assert batch.seeds is not None
    together = augment(batch, 0.4, 0.3)
    for index in (0, 4, 8):
        alone = PhotoBatch(batch.l[[index]], batch.ab[[index]], [batch.seeds[index]])
        torch.testing.assert_close(augment(alone, 0.4, 0.3).l, together.l[[index]], rtol=0, atol=1e-5)
        torch.testing.assert_close(augment(alone, 0.4, 0.3).ab, together.ab[[index]], rtol=0, atol=1e-5)
    backwards = augment(PhotoBatch(batch.l.flip(0), batch.ab.flip(0), batch.seeds[::-1]), 0.4, 0.3)
    torch.testing.assert_close(backwards.ab.flip(0), together.ab, rtol=0, atol=1e-5)


def test_the_same_seeds_give_the_same_bits_and_others_other_photos() -> None:
    batch = noise(4, 24)
    assert batch.seeds is not None
    one, again = augment(batch, 0.6, 0.2), augment(batch, 0.6, 0.2)
    assert torch.equal(one.l, again.l)
    assert torch.equal(one.ab, again.ab)
    other = augment(dataclasses.replace(batch, seeds=[seed + 1 for seed in batch.seeds]), 0.6, 0.2)
    assert ((one.ab - other.ab).abs().amax(dim=(1, 2, 3)) > 1).all()


def test_the_lighting_of_a_photo_does_not_depend_on_whether_it_is_cut() -> None:
    grey = PhotoBatch(torch.full((6, 1, 8, 8), 40.0), torch.zeros(6, 2, 8, 8), list(range(6)))
    torch.testing.assert_close(augment(grey, 0.5, 0.3).l, augment(grey, 1, 0.3).l)


def test_nothing_else_of_a_batch_changes() -> None:
    batch = noise(2, 16)
    before = [batch.l.clone(), batch.ab.clone()]
    batch.ab.requires_grad_()
    for changed in (augment(batch, 0.5, 0.3), shrink(batch, 8)):
        others = {field.name for field in dataclasses.fields(PhotoBatch)} - {"l", "ab"}
        assert all(getattr(changed, name) == getattr(batch, name) for name in others)
        assert not changed.ab.requires_grad
        assert changed.l.dtype == changed.ab.dtype == torch.float32
    assert torch.equal(batch.l, before[0])
    assert torch.equal(batch.ab, before[1])


def test_sizes_grow_with_the_epochs() -> None:
    sides = [pixels_of({64: 4, 96: 3}, epoch, 128) for epoch in range(9)]
    assert sides == [64, 64, 64, 64, 96, 96, 96, 128, 128]
    assert pixels_of({}, 0, 128) == 128
    assert pixels_of({128: 1}, 0, 128) == 128


def test_a_size_that_the_shards_do_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match=r"160 pixels, but the shards have 128 \(shards.size\): leave that size out"):
        pixels_of({64: 4, 160: 4}, 0, 128)


def test_photos_shrink_to_means_of_areas() -> None:
    l = torch.tensor([[1.0, 3, 5, 7], [1, 3, 5, 7], [10, 10, 20, 20], [30, 30, 40, 40]])[None, None]  # noqa: E741
    small = shrink(PhotoBatch(l, torch.cat([l, -l], dim=1)), 2)
    torch.testing.assert_close(small.l[0, 0], torch.tensor([[2.0, 6], [20, 30]]))
    torch.testing.assert_close(small.ab[0, 1], torch.tensor([[-2.0, -6], [-20, -30]]))


def test_pixels_that_an_area_cuts_through_count_by_their_part() -> None:
    """3 pixels to 2: each takes one and a half, in both directions."""
    l = torch.tensor([[9.0, 0, 0], [0, 18, 0], [0, 0, 0]])[None, None]  # noqa: E741
    small = shrink(PhotoBatch(l, torch.zeros(1, 2, 3, 3)), 2)
    # (9 + 18 / 4) / 2.25, then 18 / 4 / 2.25 three times.
    torch.testing.assert_close(small.l[0, 0], torch.tensor([[6.0, 2], [2, 2]]))


@pytest.mark.parametrize(("side", "pixels"), [(96, 64), (128, 96), (50, 17)])
def test_shrinking_keeps_the_mean_of_every_photo(side: int, pixels: int) -> None:
    batch = noise(3, side)
    small = shrink(batch, pixels)
    assert small.ab.shape == (3, 2, pixels, pixels)
    torch.testing.assert_close(small.l.mean(dim=(1, 2, 3)), batch.l.mean(dim=(1, 2, 3)))
    torch.testing.assert_close(small.ab.mean(dim=(2, 3)), batch.ab.mean(dim=(2, 3)), rtol=1e-4, atol=1e-4)
    alone = shrink(PhotoBatch(batch.l[1:2], batch.ab[1:2]), pixels)
    torch.testing.assert_close(alone.ab, small.ab[1:2], rtol=0, atol=1e-4)


def test_photos_of_that_size_already_are_returned_as_they_are() -> None:
    batch = noise(2, 32)
    assert shrink(batch, 32) is batch
