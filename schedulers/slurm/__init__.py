"""Slurm 24.11 as this project drives it; the rest of the project sees `ADAPTER`."""

from schedulers.interface import Scheduler
from schedulers.slurm.adapter import Slurm
from schedulers.slurm.params import SlurmParams

ADAPTER: Scheduler[SlurmParams] = Slurm()
