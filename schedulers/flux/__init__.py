"""Flux 0.88 with its own schedulers or Fluxion, as this project drives it; `ADAPTER` is what the
rest of it sees."""

from schedulers.flux.adapter import Flux

ADAPTER = Flux()
