"""What our figures are compared with: the same calls by plainer means, each a program of its own.

They record nothing and obey no limits. Address and key of the sandbox come in through BENCH_URL and BENCH_KEY, the
broker through BENCH_REDIS.
"""
