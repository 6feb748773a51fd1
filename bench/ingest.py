"""Ingest of a list of 1,000,000 rows against a bare COPY of the same rows.

Ours: from release to the job's rows and chunks committed, with the real parse task in a real prefork worker. Baseline:
the very rows that ours made, already encoded, by one COPY into a table of the partition's shape (primary key, no
row-level security) on the same server. Both begin after a checkpoint; fsync is on.
"""

import time
from io import BufferedReader
from pathlib import Path
from uuid import UUID

from sqlalchemy import text

from bench.clients import add_client, submit_file
from bench.figures import Figure, Scale, Target
from bench.installation import Installation, run_installation, wait_for
from bench.lists import write_list
from bench.proc import children_of, peak_mb
from routing import queues

ROWS = 1_000_000
ROUNDS = 3
_COLUMNS = "job_id, item_no, tenant_id, line_no, email, cells"
_STATE = text("SELECT status, total_items, chunks_open FROM jobs WHERE id = :job")


def run(scale: Scale) -> list[Figure]:
    """Ingest and copy in turns; the best of each counts, since what else a machine does only slows."""
    rows = scale.pick(ROWS, 100_000)
    with run_installation() as installation:
        path = installation.home / "leads.csv"
        write_list(path, rows)
        tenant = add_client(installation, "acme")
        worker = installation.start_worker(queues.INGEST, "prefork", 1, name="ingest")
        [child] = children_of(worker.pid)
        idle_mb = peak_mb(child)
        ours, bare = [], []
        for _ in range(scale.pick(ROUNDS, 1)):
            _checkpoint(installation)
            took, job = ingest_once(installation, tenant, path)
            ours.append(took)
            encoded = _encode(installation, job)
            _checkpoint(installation)
            bare.append(copy_once(installation, encoded))
            _clear(installation)
        peak = peak_mb(child)
    notes = {
        "rows": rows,
        "file_mb": round(rows * 150 / 1e6),
        "ours_seconds": [round(x, 2) for x in ours],
        "copy_seconds": [round(x, 2) for x in bare],
    }
    return [
        Figure(
            "ingest",
            rows / min(ours),
            "rows/s",
            rows / min(bare),
            "bare COPY of the same rows",
            Target(0.5, of="ratio"),
            notes,
        ),
        Figure(
            "ingest_memory",
            peak,
            "MB",
            target=Target(150, "most"),
            notes={"before_the_list_mb": round(idle_mb, 1)},
        ),
    ]


def ingest_once(installation: Installation, tenant: UUID, path: Path) -> tuple[float, UUID]:
    """Release one list and wait until its rows and chunks are there; return (seconds, job)."""
    job = submit_file(installation, tenant, path)
    with installation.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as watching:

        def is_in() -> bool:
            state = watching.execute(_STATE, {"job": job}).one()
            if state.status == "failed":
                raise RuntimeError("The list was refused; see the worker's log.")
            return bool(state.total_items)

        started = time.perf_counter()
        installation.dispatch()
        wait_for("Ingest", is_in, 300, every=0.005)
        return time.perf_counter() - started, job


def copy_once(installation: Installation, encoded: Path) -> float:
    """Copy encoded rows into an empty table of the partition's shape; return the seconds, commit included."""
    with installation.owner.begin() as connection:
        leaf = connection.exec_driver_sql("SELECT items_partition(uuidv7())").scalar_one()
        connection.exec_driver_sql("DROP TABLE IF EXISTS bare")
        connection.exec_driver_sql(f"CREATE TABLE bare (LIKE {leaf} INCLUDING ALL)")
    with encoded.open("rb") as stream:
        started = time.perf_counter()
        _copy(installation, stream)
        return time.perf_counter() - started


def _copy(installation: Installation, stream: BufferedReader) -> None:
    with installation.owner.begin() as connection:
        cursor = connection.connection.cursor()
        cursor.copy_expert(f"COPY bare ({_COLUMNS}) FROM STDIN", stream, size=262_144)
        cursor.close()


def _encode(installation: Installation, job: UUID) -> Path:
    path = installation.home / "rows.copy"
    with installation.owner.begin() as connection, path.open("wb") as stream:
        cursor = connection.connection.cursor()
        query = f"SELECT {_COLUMNS} FROM job_items WHERE job_id = '{job}' ORDER BY item_no"  # noqa: S608 - our own id
        cursor.copy_expert(f"COPY ({query}) TO STDOUT", stream)
        cursor.close()
    return path


def _checkpoint(installation: Installation) -> None:
    with installation.owner.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("CHECKPOINT")


def _clear(installation: Installation) -> None:
    with installation.owner.begin() as connection:
        connection.exec_driver_sql("TRUNCATE jobs, job_items CASCADE")
