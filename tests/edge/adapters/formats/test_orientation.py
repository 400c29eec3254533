"""A photo is turned upright, whatever its format and however the format notes the turn."""

import cv2
import numpy as np
import pytest

from ostiary.edge.adapters.photos import decode
from ostiary.edge.core.types import Image
from tests.support.inputs.pictures import TURNS, apart, turned

EXIF_6 = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
KINDS = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF", "TIFF")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("orientation", TURNS)
def test_it_is_turned_upright(portrait: Image, kind: str, orientation: int) -> None:
    oblong = np.ascontiguousarray(portrait[:, : portrait.shape[1] * 3 // 4 // 2 * 2])
    assert apart(turned(oblong, kind, orientation), oblong) < 6


def test_an_avif_without_boxes_that_turn_is_turned_by_its_exif(portrait: Image) -> None:
    oblong = np.ascontiguousarray(portrait[:, :200])
    lying = cv2.rotate(oblong, cv2.ROTATE_90_COUNTERCLOCKWISE)
    exif = np.frombuffer(EXIF_6, np.uint8)
    done, data = cv2.imencodeWithMetadata(".avif", lying, [cv2.IMAGE_METADATA_EXIF], [exif])
    assert done
    assert apart(data.tobytes(), oblong) < 6


def test_boxes_that_turn_overrule_the_exif_of_an_avif(portrait: Image) -> None:
    """Encoders write both for one turn; obeying both would turn the photo twice."""
    oblong = np.ascontiguousarray(portrait[:, :200])
    data = turned(oblong, "AVIF", 6)
    assert b"irot" in data
    assert decode(data, "a").shape == oblong.shape
