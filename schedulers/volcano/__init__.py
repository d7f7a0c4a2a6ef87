"""Volcano: a batch scheduler for Kubernetes, with gangs and queues."""

from schedulers.volcano.adapter import Volcano

ADAPTER = Volcano()
