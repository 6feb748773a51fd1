"""The demo's sample: every client uploads the same list at once, and the terminal shows the lanes at work."""

import time
from collections.abc import Callable, Mapping, Sequence

from devtools.demo_clients import CLIENTS
from devtools.demo_options import ROOT
from devtools.demo_upload import DemoClient, SampleJob
from devtools.errors import SampleError
from devtools.terminal import Terminal

SAMPLE = ROOT / "examples" / "leads.csv"
POLL_SECONDS = 0.5
#: The sample takes half a minute; without a single new row for this long something is wrong.
STALL_SECONDS = 90.0
VERDICTS = ("valid", "invalid", "catch_all", "unknown")


def run_sample(
    url: str, passwords: Mapping[str, str], terminal: Terminal, check: Callable[[], None]
) -> list[SampleJob]:
    """Upload the sample for every client, follow the jobs to their ends and return them.

    `check` raises when a process has died. Raises `SampleError` when a job fails or stands still.
    """
    api = DemoClient(url)
    tokens = {client.slug: api.sign_in(client.email, passwords[client.email]) for client in CLIENTS}
    terminal.say(
        f"  Three clients upload {SAMPLE.relative_to(ROOT)}; each lane keeps to its keys' limits."
    )
    jobs = [api.upload(slug, token, SAMPLE) for slug, token in tokens.items()]
    follow(api, jobs, terminal, check)
    problems = [problem for job in jobs if (problem := job.problem())]
    if problems:
        raise SampleError(" ".join(problems))
    return jobs


def follow(
    api: DemoClient, jobs: Sequence[SampleJob], terminal: Terminal, check: Callable[[], None]
) -> None:
    """Poll until every job has ended, drawing the progress."""
    seen, seen_at = -1, time.monotonic()
    while True:
        check()
        for job in jobs:
            if not job.has_ended:
                api.refresh(job)
        done = sum(job.done for job in jobs)
        notes = "  ".join(f"{job.client} {job.done}/{job.total or '?'}" for job in jobs)
        terminal.progress(done, sum(job.total for job in jobs), notes)
        if all(job.has_ended for job in jobs):
            return
        if done != seen:
            seen, seen_at = done, time.monotonic()
        if time.monotonic() - seen_at > STALL_SECONDS:
            waiting = "; ".join(
                f"{job.client}: {job.standing()}" for job in jobs if not job.has_ended
            )
            raise SampleError(f"Nothing has moved for {STALL_SECONDS:.0f} s. {waiting}")
        time.sleep(POLL_SECONDS)


def print_summary(jobs: Sequence[SampleJob], terminal: Terminal) -> None:
    """Print what came out, a line a client."""
    lanes = {client.slug: client.lane for client in CLIENTS}
    heading = ("Client", "Lane", "Rows", *VERDICTS, "bad rows", "duplicates", "seconds")
    rows = [
        (
            job.client,
            lanes[job.client],
            str(job.total),
            *(str(job.count(verdict)) for verdict in VERDICTS),
            str(job.status.get("bad_rows", 0)),
            str(job.status.get("duplicate_rows", 0)),
            str(round(job.seconds)),
        )
        for job in jobs
    ]
    terminal.say()
    terminal.table([heading, *rows])
