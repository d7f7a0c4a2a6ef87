"""The simulation testbed: a scheduler's decisions as discrete events, without VMs, root or Ray.

- engine.py: workload, cluster and policy in, a schedule out; Python and NumPy around compiled loops
- ideal.py: decides whenever a job comes or goes: first come first served, EASY, conservative
- clocked.py: decides as a real scheduler does: by its clock, with the delays of its parameters
- site_*.py: the same on clusters with levers: partitions, people, memory, reservations and so on
- people.py, fair_share.py, multifactor.py, limits.py: shares, priorities and limits there
- beats.py: that clock: when which run is due
- work.py: the jobs, those that run, and the queue's order
- nodes.py: free slots by node, and which nodes a job gets
- backfill.py, planning.py: backfilling by a clock, node by node
- future.py: free slots by node over the time to come
- alike_backfill.py, alike_conservative.py, profile.py: the same for nodes of one slot, all alike
- event_queue.py: jobs sorted by the time of something
- compiled.py, interruptible.py: compiles the loops, and ends one that runs
- table.py: a schedule as a jobs table
- testbed.py, lanes.py: evaluates trials, several side by side
- calibration.py: fits the delays to measured jobs
"""
