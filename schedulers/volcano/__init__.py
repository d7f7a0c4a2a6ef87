"""Volcano: a batch scheduler for Kubernetes, with gangs and queues."""

from schedulers.interface import Scheduler
from schedulers.volcano.adapter import Volcano
from schedulers.volcano.params import VolcanoParams

ADAPTER: Scheduler[VolcanoParams] = Volcano()
