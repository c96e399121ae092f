"""The cache of SAM features: equal training without running SAM, no stale or broken files, a bounded size."""

from pathlib import Path

import pytest
import torch
from helpers.tiny_model import pictures, tiny_config, tiny_model
from helpers.tiny_run import tiny_trainer, write_documents

from nanochat.deepencoder.sam import SAM
from nanochat.errors import UserError
from nanochat.tasks.folder_pairs import FolderOfPairs
from nanochat.training.sam_cache import SamCache, keep_features
from nanochat.training.schedules import step_decay
from nanochat.training.trainer import Stage
from scripts.vis_mid_train import Config, train


def frozen_sam(seed: int = 0) -> SAM:
    return tiny_model(seed=seed).sam_model.requires_grad_(False)


class Counted:
    """The forward pass of SAM, with a count of the views."""

    def __init__(self, sam: SAM) -> None:
        self.forward, self.views = sam.forward, 0
        sam.forward = self

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        self.views += len(pixels)
        return self.forward(pixels)


def cached(folder: Path, seed: int = 0, gigabytes: float = 1.0) -> tuple[SAM, Counted]:
    sam = frozen_sam(seed)
    counted = Counted(sam)
    keep_features(sam, folder, gigabytes)
    return sam, counted


def test_features_of_half_height_tokens_keep_their_shape(tmp_path: Path):
    config = tiny_config().vision.sam
    config.last_stride = (1, 2)
    sam = SAM(config).requires_grad_(False)
    expected = sam(pictures(2))
    keep_features(sam, tmp_path, 1.0)
    assert sam(pictures(2)).equal(expected) and sam(pictures(2)).equal(expected)  # computed, then looked up


def test_cached_features_give_the_same_losses_without_sam(tmp_path: Path):
    data, n = write_documents(tmp_path / "data"), 6

    def run(gigabytes: float) -> tuple[list[float], int, int]:
        trainer = tiny_trainer(
            FolderOfPairs(str(data), "train"), tmp_path / "run", Stage(2, step_decay(2, 100, 0.1), lr=3e-3), steps=6
        )
        trainer.model.freeze_sam()
        counted, after_an_epoch = Counted(trainer.model.sam_model), 0
        if gigabytes:
            keep_features(trainer.model.sam_model, tmp_path / "features", gigabytes)

        def on_step(step: int, steps: int, figures: dict[str, float]) -> None:
            nonlocal after_an_epoch
            found.append(figures["loss"])
            if step == n // trainer.config.batch_size:
                after_an_epoch = counted.views

        found: list[float] = []
        trainer.run(on_step)
        return found, after_an_epoch, counted.views

    plain, _, views = run(0)
    assert views == 3 * n  # two epochs and a validation
    kept, first, all_views = run(1)
    assert kept == pytest.approx(plain, rel=1e-6)
    assert (first, all_views) == (n, n)
    again, first, all_views = run(1)  # another run of the same weights
    assert again == pytest.approx(plain, rel=1e-6)
    assert (first, all_views) == (0, 0)


def test_features_of_other_weights_pixels_or_precisions_are_not_used(tmp_path: Path):
    seen = pictures(2)
    cached(tmp_path)[0](seen)
    sam, counted = cached(tmp_path, seed=1)
    assert torch.equal(sam(seen), frozen_sam(1)(seen)) and counted.views == 2
    sam.load_state_dict(frozen_sam(2).state_dict())  # as when resuming
    assert torch.equal(sam(seen), frozen_sam(2)(seen)) and counted.views == 4
    sam(seen.transpose(2, 3))
    assert counted.views == 6
    with torch.autocast("cpu", torch.bfloat16):
        found = sam(seen), sam(seen)
    assert counted.views == 8 and found[0].dtype == found[1].dtype == torch.bfloat16
    assert torch.equal(*found)


def test_broken_file_is_written_again(tmp_path: Path):
    sam, counted = cached(tmp_path)
    truth = sam(pictures(3))
    for file, damage in zip(sorted(tmp_path.glob("*/*")), (b"", None, b"\0")):
        content = bytearray(file.read_bytes())
        if damage is None:
            content[-1] ^= 1
        file.write_bytes(content[:40] if damage else content if damage is None else damage)
    assert torch.equal(sam(pictures(3)), truth) and counted.views == 6
    assert torch.equal(sam(pictures(3)), truth) and counted.views == 6


def test_cache_respects_its_size_limit(tmp_path: Path):
    size = 16 + 4 * 32 * 2 * 2  # of a file: hash, then float32 of 32 channels, 2 x 2 places
    for _ in range(2):  # existing files count
        sam, counted = cached(tmp_path, gigabytes=2.5 * size / 1e9)
        truth = frozen_sam()(pictures(4))
        assert torch.allclose(sam(pictures(4)), truth, atol=1e-6)
        assert sum(file.stat().st_size for file in tmp_path.glob("*/*")) == 2 * size
    assert counted.views == 2


def test_unwritable_folder_does_not_stop_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("no folder")
    sam, _ = cached(tmp_path / "file")
    assert torch.equal(sam(pictures(2)), frozen_sam()(pictures(2)))
    assert capsys.readouterr().out.count("WARNING") == 1


def test_cache_needs_repeated_images_and_frozen_weights(tmp_path: Path):
    with pytest.raises(UserError, match="--sam-cache"):
        train(Config(model="nano", synth=True, steps=1, sam_cache=str(tmp_path), resume="auto"))
    with pytest.raises(AssertionError, match="is trained"):
        SamCache(SAM(tiny_config().vision.sam), tmp_path, 1.0)
