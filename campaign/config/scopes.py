"""Which settings have a meaning on one kind of testbed only, and why."""

ON_MACHINES = (
    *("bootstrap", "hosts", "image", "workload.payload", "search.retries"),
    *(
        f"cluster.{name}"
        for name in (
            *("hosts", "dense", "vcpus", "memory_mib", "start", "stall_s"),
            *("boot_deadline_s", "bootstrap_deadline_s", "workload_deadline_s"),
        )
    ),
    *(
        f"testbed.{name}"
        for name in (
            "group",
            *("heartbeat_timeout_s", "host_failures", "prefetch", "wait_for_quiet_s"),
        )
    ),
)
"""Settings, and groups of them, that have a meaning for virtual machines only."""
OF_A_CLOCK = (
    "testbed.cycle_offset_s",
    "testbed.lead_s",
    "testbed.clock_s",
    "testbed.kernel_s",
    "testbed.plan_s",
)
"""Settings that have a meaning where a scheduler that works in cycles is simulated only."""
SIMULATED = (
    *(f"testbed.{name}" for name in ("policy", "submit_s", "launch_s", "overrun_s", "release_s")),
    *OF_A_CLOCK,
)
"""Settings that have a meaning for simulation only."""
IN_VIRTUAL_TIME = ("testbed.real_deadline_s", "testbed.stuck_s")
"""Settings that have a meaning for virtual time only."""
WHY_NOT_IN_VIRTUAL_TIME = {
    "cluster.hosts": "the cluster is one virtual machine",
    "cluster.dense": "all nodes are in one virtual machine, always",
    "cluster.vcpus": "instructions are counted on one CPU",
    "cluster.start": "every trial goes on from the golden cluster, at the same instruction",
    "cluster.boot_deadline_s": "it is testbed.real_deadline_s that ends a guest",
    "cluster.bootstrap_deadline_s": "it is testbed.real_deadline_s that ends a guest",
    "bootstrap": "the plan is in the guest before its clock runs, and nobody logs in there",
    "testbed.prefetch": "there is nothing to wait for when a cluster is restored",
    "testbed.wait_for_quiet_s": "what is measured doesn't depend on how busy a host is",
    "workload.payload": "jobs sleep: one that computes would be slower than real time",
}
"""Settings, and groups of them, that have no meaning in virtual time, and why; so have some of the
validity gate (see `campaign.analysis.validity.RULES`)."""
WHY_NOT_ATTACHED_IN_VIRTUAL_TIME = (
    "a real device has a clock of its own, and a guest there has no network"
)
"""Why nodes in virtual time have nothing of their host's."""
OF_HOSTS_WITH_KVM = {
    "acceleration": "guests in virtual time are emulated, always",
    "bridge": "a guest in virtual time has no network",
    "devices": "a real device has a clock of its own",
}
"""Settings of a host that have no meaning in virtual time, and why."""
