"""Flux with its own schedulers or Fluxion, as this project drives it; `ADAPTER` is what the rest of
the project sees."""

from schedulers.flux.adapter import Flux
from schedulers.flux.params import FluxParams
from schedulers.interface import Scheduler

ADAPTER: Scheduler[FluxParams] = Flux()
