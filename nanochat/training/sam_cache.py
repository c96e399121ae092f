"""A disk cache for the features of a frozen SAM, so that a repeated image costs reading a file instead of running SAM.

Each view has one file, named by a hash of its pixels, in a folder named by a hash of SAM's weights, the precision and
the type of device, so features of other weights are never found. A file starts with a hash of its content; a corrupt
file is written again. Features of different precisions or devices differ by rounding.
"""

from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from nanochat.common import get_dist_info, print0
from nanochat.deepencoder.sam import SAM
from nanochat.errors import UserError
from nanochat.files import atomic_path

GB = 1e9
HASH = 16  # bytes


def _hash(*parts: bytes | memoryview) -> bytes:
    found = blake2b(digest_size=HASH)
    for part in parts:
        found.update(part)
    return found.digest()


def _bytes(x: Tensor) -> bytes:
    return x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes()


class SamCache:
    """Replaces the `forward` of a frozen SAM, under no-grad: looks features up, or computes and stores them.

    The files of all weights together take at most `gigabytes`, divided among the ranks. Features that do not fit are
    computed each time.
    """

    def __init__(self, sam: SAM, folder: str | Path, gigabytes: float) -> None:
        assert not any(p.requires_grad for p in sam.parameters()), "the features of a SAM that is trained change"
        self.sam, self.compute, self.folder = sam, sam.forward, Path(folder)
        taken = sum(file.stat().st_size for file in self.folder.glob("*/*"))
        self.room = (gigabytes * GB - taken) / get_dist_info()[3]
        self._weights: bytes | None = None
        sam.register_load_state_dict_post_hook(lambda *_: self._forget_weights())
        print0(f"Features of SAM in {folder}: {taken / GB:.1f} of {gigabytes:g} GB used")

    def _forget_weights(self) -> None:
        self._weights = None

    def _place(self, dtype: torch.dtype, device: torch.device) -> Path:
        """The folder for these weights, this precision and this type of device."""
        if self._weights is None:
            self._weights = _hash(repr(self.sam.config).encode(), *(_bytes(p) for p in self.sam.parameters()))
        how = f"{device.type} {dtype} {torch.get_float32_matmul_precision()}"
        return self.folder / _hash(self._weights, how.encode()).hex()

    def _read(self, path: Path, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if content[:HASH] != _hash(memoryview(content)[HASH:]):
            return None
        return torch.frombuffer(bytearray(content[HASH:]), dtype=dtype).view(shape)

    def _keep(self, path: Path, features: Tensor) -> None:
        content = _bytes(features)
        size = HASH + len(content)
        if size > self.room:
            return
        try:
            with atomic_path(path) as temporary:
                temporary.write_bytes(_hash(content) + content)
        except UserError as error:  # not a reason to stop training
            self.room = 0
            print(f"WARNING: {error}: no further SAM features are cached", flush=True)
        else:
            self.room -= size

    @torch.no_grad()
    def __call__(self, pixels: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, C, h, w), like SAM's `forward`."""
        device = pixels.device
        low = torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(device.type) if low else pixels.dtype
        place, config = self._place(dtype, device), self.sam.config
        down, across = (2 * config.patch_size * stride for stride in config.last_stride)
        shape = (config.out_channels[-1], pixels.shape[2] // down, pixels.shape[3] // across)
        size = repr(tuple(pixels.shape[1:])).encode()
        paths = [place / _hash(size, _bytes(view)).hex() for view in pixels]
        found = [self._read(path, shape, dtype) for path in paths]
        missing = [i for i, features in enumerate(found) if features is None]
        fresh: Iterable[Tensor] = self.compute(pixels[missing]) if missing else ()
        for i, features in zip(missing, fresh):
            self._keep(paths[i], features)
            found[i] = features
        return torch.stack([features.to(device) for features in found if features is not None])


def keep_features(sam: SAM, folder: str | Path, gigabytes: float) -> None:
    """Make a frozen SAM use a cache on disk. Names and weights do not change."""
    sam.forward = SamCache(sam, folder, gigabytes)  # type: ignore[assignment]
