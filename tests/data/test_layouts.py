"""Each layout tells photos of their own from twins, side-cars and files that are no photos."""

from __future__ import annotations

import pytest

from colorize.data.sources.layouts import is_camera_raw, is_named_like_a_photo, is_photo, note_of


@pytest.mark.parametrize(
    ("layout", "path", "kind"),
    [
        ("flat", "00000000.jpg", "photo"),
        ("flat", "trip/IMG_1.JPEG", "photo"),
        ("flat", "gray/1.jpg", "photo"),
        ("flat", "meta/1.jpg", "photo"),
        ("flat", "readme.txt", "photo"),
        ("flat", "noextension", "photo"),
        ("flat", "IMG_1.HEIC", "photo"),
        ("flat", "../outside.jpg", "photo"),
        ("flat", "__MACOSX/trip/IMG_1.jpg", "hidden"),
        ("flat", "._IMG_1.jpg", "hidden"),
        ("flat", ".thumbnails/1.jpg", "hidden"),
        ("landscape-image-colorization", "landscape Images/color/7.jpg", "photo"),
        ("landscape-image-colorization", "landscape Images/gray/7.jpg", "grey-twin"),
        ("landscape-image-colorization", "landscape Images/Gray/readme.md", "grey-twin"),
        ("landscape-image-colorization", "gray.jpg", "photo"),
        ("mirflickr25k", "mirflickr/im1.jpg", "photo"),
        ("mirflickr25k", "mirflickr/meta/tags/tags1.txt", "sidecar"),
        ("mirflickr25k", "mirflickr/meta/preview/im1.jpg", "sidecar"),
        ("mirflickr25k", "mirflickr/doc/mirflickr25k_readme.txt", "sidecar"),
        ("mirflickr25k", "mirflickr25k_annotations_v080/sky.txt", "sidecar"),
    ],
)
def test_kinds(layout: str, path: str, kind: str) -> None:
    assert is_photo(layout, path) == kind  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("layout", "path", "note"),
    [
        ("mirflickr25k", "mirflickr/meta/tags/tags12.txt", ("tags", "mirflickr/im12.jpg")),
        ("mirflickr25k", "meta/tags/tags3.txt", ("tags", "im3.jpg")),
        ("mirflickr25k", "mirflickr/meta/license/license12.txt", ("licence", "mirflickr/im12.jpg")),
        ("mirflickr25k", "mirflickr/meta/tags_raw/tags12.txt", None),
        ("mirflickr25k", "mirflickr/meta/tags/readme.txt", None),
        ("mirflickr25k", "mirflickr/im12.jpg", None),
        ("flat", "mirflickr/meta/tags/tags12.txt", None),
    ],
)
def test_notes(layout: str, path: str, note: tuple[str, str] | None) -> None:
    assert note_of(layout, path) == note  # type: ignore[arg-type]


def test_names() -> None:
    assert is_camera_raw("trip/IMG_1.CR2")
    assert not is_camera_raw("trip/IMG_1.tif")
    assert is_named_like_a_photo("trip/IMG_1.JPEG")
    assert not is_named_like_a_photo("trip/IMG_1.txt")
    assert not is_named_like_a_photo("jpg")
