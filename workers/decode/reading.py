"""Opens an image with the reader of its format, and loads it only if it is complete.

`Image.open` is not used: it tries several readers, and it opens some JPEG files as MPO, where a
broken index makes a good first image unreadable.
"""

from __future__ import annotations

from io import BytesIO

from PIL import ExifTags, Image
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from kaption.schemas import Reason
from kaption.workers.decode import jpeg, pixels, png
from kaption.workers.runtime.stage import Reject

_READERS: dict[str, type[ImageFile]] = {
    "AVIF": AvifImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "TIFF": TiffImageFile,
    "WEBP": WebPImageFile,
}
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that makes an image upright, by its EXIF orientation."""


class ImageReader:
    """An opened file of a known format. Its header is read, its pixels are not.

    Raises Reject (truncated, decode_failed, not_an_image) and whatever Pillow raises.
    """

    def __init__(self, data: bytes, kind: str) -> None:
        self._data = data
        self._kind = kind
        self._png: png.PngParts | None = None
        if kind == "PNG":
            self._png = png.read_parts(data)
            data = self._png.file
        elif kind == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):
            raise Reject(Reason.TRUNCATED, "WEBP: shorter than its header says")
        self._image = _READERS[kind](BytesIO(data))
        # Pillow looks for bytes in it, and fails where a TIFF gives it another type.
        if isinstance(packet := self._image.info.get("xmp"), str):
            self._image.info["xmp"] = packet.encode()
        elif not isinstance(packet, bytes):
            self._image.info.pop("xmp", None)
        self.width, self.height = self._image.size
        """In pixels before rotation, or after rotation for a TIFF."""

    @property
    def profile(self) -> bytes | None:
        """The ICC profile, or None."""
        return self._image.info.get("icc_profile")

    @property
    def xmp(self) -> object:
        """The XMP packet that Pillow found, or None."""
        return self._image.info.get("xmp")

    def transpose(self) -> Image.Transpose | None:
        """The transposition that makes the loaded image upright, or None."""
        if self._kind == "TIFF":
            return None  # Pillow's reader has turned it upright
        try:
            return _TRANSPOSE.get(self._image.getexif().get(ExifTags.Base.Orientation, 1))
        except Exception:  # noqa: BLE001 # broken EXIF raises nearly any error; keep the image
            return None

    def load(self, size: tuple[int, int]) -> Image.Image | pixels.Rgb:
        """Decode the first frame. A JPEG may be scaled down already, but not below `size`.

        Raises Reject (truncated) if pixels are missing, and whatever Pillow raises.
        """
        if self._kind == "JPEG":
            fast = None
            if self._image.mode == "RGB":
                fast = pixels.decoded(self._data, (self.width, self.height), size)
            return self._load_jpeg(size) if fast is None else fast
        self._image.load()
        if (
            self._png is not None
            and (self._png.cut or _ends_empty(self._image))
            and not self._png.is_whole()
        ):
            raise Reject(Reason.TRUNCATED, "PNG: rows are missing")
        return self._image

    def _load_jpeg(self, size: tuple[int, int]) -> Image.Image:
        image = self._image
        ended = True
        try:
            _load_drafted(image, size)
        except OSError as error:
            if "truncated" not in str(error):
                raise
            ended = False
        if (not ended or jpeg.may_be_short(image)) and not jpeg.is_whole(self._data):
            raise Reject(Reason.TRUNCATED, "JPEG: rows or scans are missing")
        if not ended:
            image = JpegImageFile(BytesIO(jpeg.with_end(self._data)))
            _load_drafted(image, size)
        return image


def _load_drafted(image: ImageFile, size: tuple[int, int]) -> None:
    image.draft(None, size)
    image.decodermaxblock = 1 << 24  # read the file at once, without growing copies
    image.load()


def _ends_empty(image: Image.Image) -> bool:
    """Whether one of the last two rows is all zero, as a missing row is.

    The last row alone would not do for an interlaced image.
    """
    rows = (
        image.crop((0, row, image.width, row + 1)).tobytes()
        for row in range(max(0, image.height - 2), image.height)
    )
    return any(not any(row) for row in rows)
