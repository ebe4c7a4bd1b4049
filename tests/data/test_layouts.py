"""Each layout tells photos of their own from twins, side-cars and files that are no photos."""

from __future__ import annotations

import pytest

from colorize.data.sources.layouts import is_photo


@pytest.mark.parametrize(
    ("layout", "path", "kind"),
    [
        ("flat", "00000000.jpg", "photo"),
        ("flat", "trip/IMG_1.JPEG", "photo"),
        ("flat", "gray/1.jpg", "photo"),
        ("flat", "meta/1.jpg", "photo"),
        ("flat", "readme.txt", "sidecar"),
        ("flat", "noextension", "sidecar"),
        ("flat", "IMG_1.HEIC", "unsupported-photo"),
        ("flat", "raw/IMG_1.CR2", "unsupported-photo"),
        ("flat", "._IMG_1.jpg", "hidden"),
        ("flat", ".thumbnails/1.jpg", "hidden"),
        ("landscape-image-colorization", "landscape Images/color/7.jpg", "photo"),
        ("landscape-image-colorization", "landscape Images/gray/7.jpg", "grey-twin"),
        ("landscape-image-colorization", "landscape Images/Gray/readme.md", "sidecar"),
        ("landscape-image-colorization", "gray.jpg", "photo"),
        ("mirflickr25k", "mirflickr/im1.jpg", "photo"),
        ("mirflickr25k", "mirflickr/meta/tags/tags1.txt", "sidecar"),
        ("mirflickr25k", "mirflickr/meta/preview/im1.jpg", "sidecar"),
        ("mirflickr25k", "mirflickr25k_annotations_v080/sky.txt", "sidecar"),
    ],
)
def test_kinds(layout: str, path: str, kind: str) -> None:
    assert is_photo(layout, path) == kind  # type: ignore[arg-type]
