"""How close training, reading and loading come to what this machine can do; the command is scripts/bench.py."""
