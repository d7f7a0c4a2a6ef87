"""The simulation testbed: a scheduler's decisions as discrete events, without VMs, root or Ray.

engine.py: workload, cluster and policy in, a schedule out (Python and NumPy around compiled loops)
ideal.py: decides whenever a job comes or goes: first come first served, EASY, conservative
clocked.py: decides as a real scheduler does: by its clock, with the delays of its parameters
nodes.py: free slots by node: which nodes a job would get
future.py: free slots by node over the time to come
event_queue.py: jobs by the time of their end, and the queue's order
compiled.py: compiles the four before it
testbed.py: evaluates trials; calibration.py fits the delays to measured jobs
"""
