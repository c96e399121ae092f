"""Settings of all tests. They run in one process per core, each with one thread, as do the commands that they start."""

import os

import torch
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
settings.register_profile("no deadline", deadline=None)  # a busy machine must not fail tests
settings.load_profile("no deadline")
