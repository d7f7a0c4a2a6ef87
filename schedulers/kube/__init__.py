"""Kubernetes' own scheduler: pods one by one."""

from schedulers.interface import Scheduler
from schedulers.kube.adapter import Kube
from schedulers.kube.params import KubeParams

ADAPTER: Scheduler[KubeParams] = Kube()
