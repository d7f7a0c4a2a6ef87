"""Slurm 24.11 as this project drives it; `ADAPTER` is what the rest of the project sees."""

from schedulers.slurm.adapter import Slurm

ADAPTER = Slurm()
