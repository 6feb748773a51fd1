"""What is deployed fits the code: checked without an engine, by reading the files."""

import ast
import importlib.util
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from routing import queues

ROOT = Path(__file__).parents[2]
SETTINGS = {name.upper() for name in Settings.model_fields}
#: Read by the files themselves or by a tool they start, not by the application.
TOOLS = {
    "BIND",
    "FLOWER_ADDRESS",
    "FLOWER_BASIC_AUTH",
    "FLOWER_PORT",
    "LANEWAY_HOME",
    "PORT",
    "POSTGRES_DB",
    "POSTGRES_PASSWORD",
    "WEB_CONCURRENCY",
    "WORKER_COUNT",
    "WORKER_NAME",
}
SHARED_FLAGS = {"--without-gossip", "--without-mingle", "-E"}


def read(name: str) -> str:
    return (ROOT / name).read_text()


def read_procfile(name: str) -> dict[str, str]:
    lines = [line for line in read(name).splitlines() if line.strip()]
    return {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}


def read_services() -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = yaml.safe_load(read("docker-compose.dev.yml"))["services"]
    return services


def option(words: list[str], name: str) -> str | None:
    return words[words.index(name) + 1] if name in words else None


def consumed(words: list[str]) -> set[str]:
    return set((option(words, "-Q") or "").split(",")) - {""}


def worker_commands() -> dict[str, list[str]]:
    lines = {
        f"Procfile.worker {name}": shlex.split(line)
        for name, line in read_procfile("Procfile.worker").items()
    }
    services = {
        f"compose {name}": service["command"]
        for name, service in read_services().items()
        if "worker" in service.get("command", [])
    }
    return lines | services


WORKERS = worker_commands()


def test_procfiles_name_the_processes() -> None:
    assert list(read_procfile("Procfile")) == ["web", "beat", "flower"]
    assert list(read_procfile("Procfile.worker")) == ["ingest", "verification", "enrichment"]


@pytest.mark.parametrize("words", WORKERS.values(), ids=WORKERS)
def test_every_worker_has_the_flags_that_redis_needs(words: list[str]) -> None:
    assert set(words) >= SHARED_FLAGS
    assert option(words, "-A") == "celery_config"
    assert option(words, "-P") in {"prefork", "threads"}
    slots = re.fullmatch(r"(?:\$\{\w+:-)?(\d+)\}?", option(words, "-c") or "")
    assert slots
    assert int(slots[1]) > 0


@pytest.mark.parametrize("words", WORKERS.values(), ids=WORKERS)
def test_cpu_queues_run_prefork_and_the_others_threads(words: list[str]) -> None:
    pool = "prefork" if queues.INGEST in consumed(words) else "threads"
    assert option(words, "-P") == pool
    assert not ({queues.INGEST} < consumed(words)), "ingest has a pool of its own"


@pytest.mark.parametrize("source", ["Procfile.worker", "compose"])
def test_every_queue_is_consumed(source: str) -> None:
    constants = {
        value
        for name, value in vars(queues).items()
        if name.isupper() and isinstance(value, str) and value != queues.DEDICATED_PREFIX
    }
    assert constants >= {kind.base_queue for kind in queues.KINDS.values()}
    taken = set().union(*(consumed(words) for name, words in WORKERS.items() if source in name))
    assert taken == constants


def test_every_module_that_is_started_exists() -> None:
    texts = [read("Procfile"), read("Procfile.worker"), read("Dockerfile")]
    texts += [" ".join(service.get("command", [])) for service in read_services().values()]
    modules = set(
        re.findall(r"python -m ([\w.]+)|-A (\w+)|'(\w[\w.]+):create_app", "\n".join(texts))
    )
    names = {name for found in modules for name in found if name}
    assert names >= {"celery_config", "app.factory", "sandbox", "app.db.migrate"}
    assert [name for name in names if importlib.util.find_spec(name) is None] == []


def test_the_factory_has_what_gunicorn_calls() -> None:
    tree = ast.parse(read("app/factory.py"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    factory = next(function for function in functions if function.name == "create_app")
    needed = len(factory.args.args) - len(factory.args.defaults)
    assert needed == 0, "gunicorn calls create_app() without arguments"


def test_every_environment_name_is_a_setting() -> None:
    given = {
        name for service in read_services().values() for name in service.get("environment", {})
    }
    used = set(re.findall(r"\$\{(\w+)", read("docker-compose.dev.yml")))
    used |= set(re.findall(r"\$\{(\w+)", read("Procfile") + read("Procfile.worker")))
    assert given | used <= SETTINGS | TOOLS


def test_the_example_names_every_setting() -> None:
    names = re.findall(r"^#?([A-Z][A-Z0-9_]+)=", read(".env.example"), flags=re.MULTILINE)
    assert len(names) == len(set(names))
    assert set(names) - TOOLS == SETTINGS


def test_the_example_has_the_real_defaults() -> None:
    shown = dict(re.findall(r"^#([A-Z][A-Z0-9_]+)=(.+)$", read(".env.example"), flags=re.MULTILINE))
    given = {name.lower(): value for name, value in shown.items() if name in SETTINGS}
    parsed = Settings.model_validate(given | {"secret_key": "x" * 32, "encryption_keys": "x" * 44})
    fields = Settings.model_fields
    assert {name: getattr(parsed, name) for name in given} == {
        name: fields[name].get_default(call_default_factory=True) for name in given
    }


def test_compose_has_every_process() -> None:
    services = read_services()
    assert {"postgres", "redis", "migrate", "web", "beat", "flower", "sandbox"} <= set(services)
    dedicated = services["worker-verification-acme"]["environment"]
    assert dedicated["WORKER_MODE"] == "dedicated"
    assert consumed(services["worker-verification-acme"]["command"]) == set()
    assert "noeviction" in services["redis"]["command"]
    for name, service in services.items():
        published = service.get("ports", [])
        assert all(port.startswith("127.0.0.1:") for port in published), name
        assert "healthcheck" in service or name == "web", name


def test_compose_waits_for_the_migration() -> None:
    for name, service in read_services().items():
        if name.startswith(("web", "worker", "beat", "flower")):
            condition = service["depends_on"]["migrate"]["condition"]
            assert condition == "service_completed_successfully", name


def test_a_worker_is_given_time_to_hand_back() -> None:
    for name, service in read_services().items():
        if name.startswith("worker"):
            assert int(service["stop_grace_period"].removesuffix("s")) >= 30, name


def test_the_image_is_closed_and_locked() -> None:
    text = read("Dockerfile")
    stages = text.split("\nFROM ")
    last = stages[-1]
    assert len(stages) == 3, "built in one stage, run in another"
    assert "--require-hashes" in stages[1]
    assert "runtime.lock" in stages[1]
    user = re.findall(r"^USER (\S+)$", last, flags=re.MULTILINE)
    assert user
    assert user[-1] not in {"root", "0"}
    assert last.index("USER ") < last.index("\nCMD ")
    assert "HEALTHCHECK" in last
    copied = set(re.findall(r"^COPY (?!--from)(.+) \S+$", text, flags=re.MULTILINE))
    sent = {line[1:] for line in read(".dockerignore").splitlines() if line.startswith("!")}
    assert {name for line in copied for name in line.split()} == sent
    assert all((ROOT / name).exists() for name in sent)


def test_image_and_procfile_start_the_web_alike() -> None:
    flags = [
        "--worker-class app.http.worker.PatientWorker",
        "--threads 16",
        "--graceful-timeout 30 --forwarded-allow-ips",
    ]
    for text in (read("Procfile"), read("Dockerfile")):
        assert [flag for flag in flags if flag not in text] == []


@pytest.mark.parametrize("name", ["runtime.lock", "dev.lock"])
def test_locks_have_hashes_and_no_index(name: str) -> None:
    text = read(f"requirements/{name}")
    pins = re.split(r"\n(?=\S)", text)
    assert [
        pin for pin in pins if re.match(r"[\w.-]+==", pin) and "--hash=sha256:" not in pin
    ] == []
    assert not re.search(r"https?://|--index-url|--find-links", text)


def test_no_secret_is_committed() -> None:
    secret = re.compile(r"SECRET|PASSWORD|ENCRYPTION_KEYS|BASIC_AUTH|TOKEN$|API_KEYS")
    lines = re.findall(r"^#?([A-Z0-9_]+)=(.*)$", read(".env.example"), flags=re.MULTILINE)
    assert [name for name, value in lines if secret.search(name) and value] == []
    for service in read_services().values():
        for name, value in service.get("environment", {}).items():
            if secret.search(name):
                assert value.startswith("${"), name
    ignored = subprocess.run(
        ["git", "check-ignore", ".env", ".local/secrets.json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ignored.returncode != 128:  # not a checkout: an unpacked archive
        assert ignored.stdout.split() == [".env", ".local/secrets.json"]


@pytest.mark.parametrize("name", ["web", "beat", "flower", "ingest", "verification"])
def test_every_line_is_one_process_that_takes_signals(name: str) -> None:
    line = (read_procfile("Procfile") | read_procfile("Procfile.worker"))[name]
    assert "exec " in line, "the shell would keep SIGTERM to itself"
    assert subprocess.run(["sh", "-n", "-c", line], check=False).returncode == 0
