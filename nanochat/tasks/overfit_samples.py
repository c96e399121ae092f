"""`OverfitSamples`, the recipe's name for `FolderOfPairs`."""

from nanochat.tasks.folder_pairs import FolderOfPairs as OverfitSamples

__all__ = ["OverfitSamples"]
