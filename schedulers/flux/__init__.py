"""Flux with Fluxion or its own schedulers; the rest of the project sees `ADAPTER`."""

from schedulers.flux.adapter import Flux
from schedulers.flux.params import FluxParams
from schedulers.interface import Scheduler

ADAPTER: Scheduler[FluxParams] = Flux()
