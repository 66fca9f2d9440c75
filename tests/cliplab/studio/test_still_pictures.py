"""Pictures as the studio sends them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from adapters.errors import MediaError
from cliplab.studio.still_pictures import jpeg_of

PICTURE = np.zeros((40, 60, 3), np.uint8)
PICTURE[..., 0] = 200


@pytest.mark.parametrize(("size", "shape"), [(None, (40, 60)), ((60, 40), (40, 60)), ((30, 20), (20, 30))])
def test_a_picture_keeps_its_colours_at_the_size_that_is_asked_for(
    size: tuple[int, int] | None, shape: tuple[int, int]
) -> None:
    shown = cv2.imdecode(np.frombuffer(jpeg_of(PICTURE, size), np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None
    assert shown.shape[:2] == shape
    blue, green, red = shown.reshape(-1, 3).mean(axis=0)
    assert (red > 190, green < 10, blue < 10) == (True, True, True)


def test_a_picture_that_cannot_be_encoded_says_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda *_: (False, np.zeros(3, np.uint8)))
    with pytest.raises(MediaError, match="a picture of 60x40 cannot be made into a JPEG"):
        jpeg_of(PICTURE)
