"""Kubernetes' own scheduler: pods one by one."""

from schedulers.kube.adapter import Kube

ADAPTER = Kube()
