"""The kinds of covers that are drawn, by what they hide, and what is drawn without hiding."""

from __future__ import annotations

from collections.abc import Callable

from ostiary.export.covered import eyewear, harmless, held, masks
from ostiary.export.covered.drawing import Sheet

Draw = Callable[[Sheet], Sheet]

COVERS: dict[str, Draw] = {
    "surgical mask": masks.surgical,
    "respirator": masks.respirator,
    "cloth mask": masks.cloth_mask,
    "scarf": masks.scarf,
    "balaclava": masks.balaclava,
    "hand on mouth": held.hand_on_mouth,
    "sunglasses": eyewear.sunglasses,
    "goggles": eyewear.goggles,
    "brim": eyewear.brim,
    "band": eyewear.band,
    "patch": eyewear.patch,
    "hand on eye": held.hand_on_eye,
    "hand on eyes": held.hand_on_eyes,
    "phone": held.phone,
    "thing": held.thing,
}
"""What hides mouth, nose or eyes."""
HARMLESS: dict[str, Draw] = {
    "clear glasses": harmless.clear_glasses,
    "beard": harmless.beard,
    "hand beside": harmless.hand_beside,
    "neck": harmless.neck,
    "headwear": harmless.headwear,
    "beside": harmless.beside,
}
"""What hides none of them."""
