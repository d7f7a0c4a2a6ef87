"""The simulation testbed: a scheduler's decisions as discrete events, without VMs, root or Ray.

    engine.py      workload, cluster and policy in; a schedule out. Python and NumPy around the compiled loops
    ideal.py       decides whenever a job comes or goes: first come first served, EASY, conservative backfilling
    clocked.py     decides as a real scheduler does: by its clock, with the delays of its parameters
    nodes.py       free slots by node: which nodes a job would get
    future.py      free slots by node over the time to come
    agenda.py      jobs by the time of their end; the queue's order
    compiled.py    what compiles these four
    testbed.py     evaluates trials; calibration.py fits the delays to measured jobs, agreement.py says how well
    speed.py       the benchmark, which speed_table.py writes down; rival.py runs another simulator on the same jobs

Times within the compiled loops are whole nanoseconds, so that equal times are equal.
"""
