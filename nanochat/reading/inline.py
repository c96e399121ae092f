"""Images inside of an HTML page or a response, as data URLs."""

import base64
import io

from PIL import Image

QUALITY = 85  # of JPEG


def jpeg_url(picture: Image.Image, longest: int | None = None) -> str:
    """An image as a JPEG in a data URL, scaled down to `longest` pixels on its longer side, if that is given."""
    small = picture.convert("RGB")
    if longest is not None:
        small.thumbnail((longest, longest))
    stored = io.BytesIO()
    small.save(stored, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(stored.getvalue()).decode()
