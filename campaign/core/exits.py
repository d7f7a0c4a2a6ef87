"""The exit statuses of the commands.

0  done
1  a bug of ours: the traceback is shown
2  something that the user can fix: one message says what, where, and how
3  the campaign ended, but some of its trials failed because of the platform or the scheduler, or
   MLflow lacks runs: the message says how to complete it
4  the campaign ended, and its trials are valid, but none meets the constraints: the message names
   them, and how near the best trial came
5  what was run again (rerun) came out otherwise than it was recorded
6  a metric is worse than it was, beyond its interval (check)
129, 130, 143  interrupted (terminal closed, Ctrl-C, SIGTERM); what was finished is kept
"""

USER_ERROR = 2
TRIALS_FAILED = 3
MLFLOW_INCOMPLETE = 3
NOTHING_FEASIBLE = 4
DIFFERENT = 5
WORSE = 6
