"""Settings of all tests, which run in one process a core: each takes one thread, and so do the commands it starts."""

import os

import torch
from hypothesis import settings

os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)
settings.register_profile("no deadline", deadline=None)  # a busy machine is no failure
settings.load_profile("no deadline")
