"""What our figures are compared with: the same work by plainer means, each a program of its own.

They obey no limits and survive nothing. What they need comes in through the environment: BENCH_URL and BENCH_KEY (the
sandbox), BENCH_REDIS (the broker), and BENCH_DATABASE where answers are to be stored, one row a task.
"""
