"""`make demo`: everything up on this machine, the sample verified, then served until Ctrl-C.

Whatever ends it (a failure, Ctrl-C in any phase, even kill -9), no process is left behind and the data
is kept in LANEWAY_HOME.
"""

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType

from devtools.demo_clients import ACME, EMAILS
from devtools.demo_options import (
    ROOT,
    Options,
    Secrets,
    load_secrets,
    make_home,
    read_options,
)
from devtools.demo_sample import print_summary, run_sample
from devtools.demo_servers import make_environment, prepare_data, start_servers
from devtools.demo_services import READY_SECONDS, Services
from devtools.demo_shell import shell_file, write_shell_environment
from devtools.errors import SampleError, SetupError
from devtools.ports import accepts, find_free_port
from devtools.private_files import FolderLock
from devtools.supervisor import Supervisor, answers
from devtools.terminal import Terminal

WATCH_SECONDS = 1.0


def start_services(
    options: Options, services: Services, client_id: str, supervisor: Supervisor
) -> None:
    """Start every process at once, then wait until each does its work. Raises `SetupError`."""
    sandbox = supervisor.start(services.sandbox())
    web = supervisor.start(services.web())
    workers = [supervisor.start(worker) for worker in services.workers(client_id)]
    supervisor.start(services.beat())
    flower = supervisor.start(services.flower())
    sandbox.wait_until(lambda: "listening" in sandbox.tail(), READY_SECONDS)
    web.wait_until(lambda: answers(f"{options.url}/api/health"), READY_SECONDS)
    for worker in workers:
        worker.wait_until(lambda worker=worker: " ready." in worker.tail(100), READY_SECONDS)  # type: ignore[misc]
    flower.wait_until(lambda: accepts(options.flower_port), READY_SECONDS)
    supervisor.check()


def show_addresses(options: Options, secrets: Secrets, terminal: Terminal) -> None:
    """Print where everything is and how to get in."""
    terminal.say()
    terminal.say(f"  Pages    {options.url}")
    terminal.say(f"  API      {options.url}/api/docs")
    terminal.say(f"  Flower   {options.flower_url}   operator / {secrets.flower_password}")
    terminal.say(f"  Logs     {options.home / 'logs'}")
    terminal.say(f"  Shell    . {shlex.quote(str(shell_file(options.home)))}")
    terminal.say("           for celery -A celery_config queues, redis-cli and psql")
    terminal.say()
    terminal.table([("Sign in as", "Password"), *secrets.passwords.items()])
    terminal.say()


def show_sample(
    options: Options, secrets: Secrets, terminal: Terminal, check: Callable[[], None]
) -> None:
    """Run the sample and print what came out. Raises `SampleError` where nothing comes after it."""
    try:
        print_summary(run_sample(options.url, secrets.passwords, terminal, check), terminal)
    except SampleError as error:
        if options.once:
            raise
        # Somebody may have cancelled it in the pages, or its keys still rest since the last visit: no reason to stop all.
        terminal.say(f"\n  The sample is not done, the rest goes on. {error}")


def serve(options: Options, terminal: Terminal) -> None:
    """Bring everything up, run the sample, and serve until interrupted. Raises `SetupError`."""
    make_home(options.home)
    lock = FolderLock(options.home / "demo.lock", f"The demo in {options.home}")
    with ExitStack() as stack:
        stack.callback(lock.release)
        lock.acquire()
        options.check_ports()
        secrets = load_secrets(options.home, EMAILS)
        servers = start_servers(options, secrets, stack, terminal)
        sandbox_port = find_free_port()
        environment = make_environment(options, secrets, servers, sandbox_port)
        with terminal.step("Database migrated, clients and people loaded"):
            client_id = prepare_data(options, secrets, servers, environment)
        supervisor = stack.enter_context(Supervisor())
        services = Services(options, secrets, environment, sandbox_port)
        with terminal.step("Web, five workers, Beat, Flower and the provider's simulator"):
            start_services(options, services, client_id, supervisor)

        worker_names = {worker.name for worker in services.workers(client_id)}
        write_shell_environment(options.home, environment, servers.owner_url)

        def check() -> None:
            servers.check()
            for name in supervisor.forget_stopped(worker_names):
                terminal.say(f"  {name} was stopped. Its lane waits; `make demo` starts it again.")
            supervisor.check()

        if not options.once:
            show_addresses(options, secrets, terminal)
        show_sample(options, secrets, terminal, check)
        show_addresses(options, secrets, terminal)
        if options.once:
            return
        terminal.say(f"  {ACME.name} has a worker of its own. Serving until Ctrl-C.")
        while True:
            check()
            time.sleep(WATCH_SECONDS)


def stop(_number: int, _frame: FrameType | None) -> None:
    """Leave as Ctrl-C does."""
    raise KeyboardInterrupt


def main() -> int:
    """Run the demo; the result is the exit code."""
    # Also where a shell has made its background jobs deaf to Ctrl-C.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    os.chdir(ROOT)
    terminal = Terminal()
    try:
        serve(read_options(), terminal)
    except SetupError as error:
        terminal.say()
        print(f"make demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        terminal.say("\n  Stopped; nothing is left running.")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
