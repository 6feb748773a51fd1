"""What the documents say exists: settings, files, headings, queues, commands, names of the code."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from celery.bin.celery import celery as celery_program

from app.accounts.cli import tenants_cli, users_cli
from app.clients.cli import clients_cli
from app.clients.keys_cli import keys_cli
from app.clients.tokens_cli import tokens_cli
from app.settings import Settings
from routing import queues
from tasks.queues_command import ADVICE_COLUMNS, COLUMNS, queues_command

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
IDS = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
SETTINGS = {name.upper() for name in Settings.model_fields}
#: Read by the Procfile, compose or `make`, not by the application.
TOOLS = {
    *("BIND", "FLOWER_ADDRESS", "FLOWER_BASIC_AUTH", "FLOWER_PORT", "LANEWAY_HOME", "ONCE", "PORT"),
    *("POSTGRES_PASSWORD", "WEB_CONCURRENCY", "WORKER_COUNT"),
}
#: Written by `make bench`.
GENERATED = {"bench/results.json"}
#: Words in capitals that are no variables of ours.
OTHER_WORDS = {"FLUSHALL", "PUBLIC", "BYPASSRLS", "BRPOP", "LLEN", "COPY", "NOTIFY", "LISTEN"}
FLASK_GROUPS = {
    "tenants": tenants_cli,
    "users": users_cli,
    "clients": clients_cli,
    "keys": keys_cli,
    "tokens": tokens_cli,
}
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def read_all() -> str:
    return "\n".join(path.read_text() for path in DOCUMENTS)


def read_sources() -> str:
    folders = ("app", "routing", "tasks", "sandbox", "devtools")
    endings = ("*.py", "*.sql", "*.lua")
    found = [path for folder in folders for end in endings for path in (ROOT / folder).rglob(end)]
    return "\n".join(path.read_text() for path in [*found, ROOT / "celery_config.py"])


def quoted(text: str) -> set[str]:
    """What stands between backticks, code blocks aside."""
    return set(re.findall(r"`([^`\n]+)`", FENCE.sub("", text)))


def commands(program: str) -> Iterator[list[str]]:
    """Every call of a program, in code blocks and between backticks, as words."""
    text = read_all()
    # A program of Python's is no command; a test of its own runs it.
    blocks = FENCE.findall(re.sub(r"```python\n.*?```", "", text, flags=re.DOTALL))
    lines = [line for block in blocks for line in block.replace("\\\n", "").split("\n")]
    for line in [*lines, *quoted(text)]:
        found = re.search(rf"(?:^|[|\s]){re.escape(program)}(?=\s|$)[^|…#]*", line)
        if found:
            yield shlex.split(found[0].strip("| ").replace("<id>", "id"))


def slug(heading: str) -> str:
    """The anchor that a heading gets on the usual forges."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    text = FENCE.sub("", path.read_text())
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)}


def settings_table() -> dict[str, str]:
    """Variable -> default, from the tables of operations.md."""
    text = (ROOT / "docs/operations.md").read_text()
    section = text.split("\n## Settings\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \|([^|]*)\|", section, flags=re.MULTILINE)
    assert len(rows) == len(dict(rows)), "a variable stands twice"
    return dict(rows)


def test_every_setting_is_in_the_table_and_nothing_else() -> None:
    assert set(settings_table()) - TOOLS == SETTINGS


def test_the_table_has_the_real_defaults() -> None:
    shown = {name: text.strip() for name, text in settings_table().items() if name in SETTINGS}
    fields = Settings.model_fields
    required = {name for name in shown if fields[name.lower()].is_required()}
    assert {name for name, text in shown.items() if text == "must be set"} == required
    given = {name.lower(): text.strip("`") for name, text in shown.items() if "`" in text}
    parsed = Settings.model_validate(given | {"secret_key": "x" * 32, "encryption_keys": "x" * 44})
    assert {name: getattr(parsed, name) for name in given} == {
        name: fields[name].get_default(call_default_factory=True) for name in given
    }
    blank = [name.lower() for name, text in shown.items() if not text]
    assert [n for n in blank if fields[n].get_default(call_default_factory=True)] == []


def test_every_variable_that_is_named_exists() -> None:
    shape = re.compile(r"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=.*)?")
    named = {found[1] for word in quoted(read_all()) if (found := shape.fullmatch(word))}
    assert named <= SETTINGS | TOOLS | OTHER_WORDS


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(FENCE.sub("", path.read_text())):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


@pytest.mark.parametrize("path", DOCUMENTS, ids=IDS)
def test_files_that_are_named_exist(path: Path) -> None:
    tops = ("app", "bench", "devtools", "docs", "examples", "requirements", "routing", "sandbox")
    shape = re.compile(rf"(?:{'|'.join((*tops, 'tasks', 'tests'))})/[\w./-]*")
    for word in quoted(path.read_text()):
        if shape.fullmatch(word) and word not in GENERATED:
            assert (ROOT / word).exists(), word


def test_decisions_are_numbered_without_gaps_and_linked() -> None:
    files = sorted((ROOT / "docs/adr").glob("*.md"))
    assert [path.name[:5] for path in files] == [f"{n:04}-" for n in range(1, len(files) + 1)]
    for path in files:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}. "), path.name
        parts = re.findall(r"^## (\w+)", text, flags=re.MULTILINE)
        assert parts == ["Context", "Decision", "Consequences", "Refused"], path.name
        assert "**Bad:**" in text, f"{path.name} has no bad consequence"


def test_queues_that_are_named_exist() -> None:
    known = {queues.INGEST, queues.VERIFICATION, queues.WEBHOOKS, queues.MAINTENANCE}
    text = read_all()
    for words in commands("celery"):
        if "-Q" in words:
            assert set(words[words.index("-Q") + 1].split(",")) <= known, words
    for queue in re.findall(r"verification-queue[\w:…-]*|enrichment-job[\w:-]*", text):
        assert queue in known or queue.startswith(queues.DEDICATED_PREFIX), queue
    table = (ROOT / "docs/architecture.md").read_text().split("\n## Lanes\n")[1].split("\n## ")[0]
    listed = set(re.findall(r"^\| `([^`]+)` \|", table, flags=re.MULTILINE))
    assert listed == known | {f"{queues.DEDICATED_PREFIX}client-…"}


def test_commands_of_make_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    used = {words[1] for words in commands("make") if len(words) > 1 and "=" not in words[1]}
    assert used >= {"demo", "test"}
    assert used <= targets


def test_commands_of_flask_exist() -> None:
    # The receiver is the reader's own program.
    calls = [words for words in commands("flask") if words[1:3] != ["--app", "receiver"]]
    assert calls
    for words in calls:
        assert words[1:3] == ["--app", "app.factory"], words
        if len(words) > 4:
            check_options(FLASK_GROUPS[words[3]].commands[words[4]], words[5:])
    short = re.compile(r"(tenants|users|keys|tokens) ([a-z]+)")
    for word in quoted(read_all()):
        if found := short.fullmatch(word):
            assert found[2] in FLASK_GROUPS[found[1]].commands, word


def check_options(command: click.Command, words: list[str]) -> None:
    known = {
        option
        for parameter in command.params
        for option in (*parameter.opts, *parameter.secondary_opts)
    }
    assert {word for word in words if word.startswith("--")} <= known, words


def test_commands_of_celery_exist() -> None:
    known = {*celery_program.commands, queues_command.name, "flower"}
    calls = list(commands("celery"))
    assert calls
    for words in calls:
        assert words[1:3] == ["-A", "celery_config"], words
        if len(words) > 3:
            assert words[3] in known, words
        if words[3:4] == ["queues"]:
            check_options(queues_command, words[4:])


def test_modules_that_are_started_exist() -> None:
    calls = [words for words in commands("python") if words[1:2] == ["-m"]]
    assert calls
    for words in calls:
        assert importlib.util.find_spec(words[2]), words


def test_workers_are_started_as_the_procfile_does() -> None:
    flags = {"--without-gossip", "--without-mingle", "-E"}
    workers = [words for words in commands("celery") if "worker" in words]
    assert workers
    for words in workers:
        assert set(words) >= flags, words


def test_names_of_the_code_exist() -> None:
    """Functions of the database, metrics and channels, wherever they are named."""
    sources = read_sources()
    shape = re.compile(
        r"\b(?:ledger|laneway|lane|lanes|keys|reroute|ensure|uuid7)_[a-z0-9_]+\b(?!\.py)"
    )
    endings = re.compile(r"_(?:count|sum|bucket)$")
    text = read_all() + (ROOT / "docs/alerts.yml").read_text()
    names = {word for word in shape.findall(text) if not re.search(r"_\d{4}_\d\d$|_$", word)}
    assert {n for n in names if endings.sub("", n) not in sources and n not in sources} == set()


def test_log_events_that_are_explained_exist() -> None:
    text = (ROOT / "docs/operations.md").read_text().split("\n## Logs\n")[1].split("\n## ")[0]
    rows = [line for line in text.split("\n") if line.startswith("| `")]
    events = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    sources = read_sources()
    assert len(events) > 10
    assert {name for name in events if f'"{name}"' not in sources} == set()


def test_columns_of_the_queues_command_are_explained() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    section = text.split("\n## Looking at lanes\n")[1].split("\n## ")[0]
    titles = {title for title, _ in (*COLUMNS, *ADVICE_COLUMNS)} - {"QUEUE", "TENANT"}
    assert {title for title in titles if f"`{title}`" not in section} == set()


def test_every_metric_is_explained_and_alerts_are_rules() -> None:
    text = (ROOT / "docs/operations.md").read_text()
    made = metrics_made()
    assert {name for name in made if f"`{name}`" not in text} == set()
    rules = yaml.safe_load((ROOT / "docs/alerts.yml").read_text())["groups"][0]["rules"]
    names = [rule["alert"] for rule in rules]
    assert len(names) == len(set(names))
    assert [rule["alert"] for rule in rules if not rule["annotations"]["summary"]] == []
    for rule in rules:
        assert metrics_in(rule["expr"]), rule["alert"]
        assert metrics_in(rule["expr"]) <= made, rule["alert"]


def metrics_made() -> set[str]:
    """The metrics' names in the code."""
    shape = r'"(laneway_(?:up|lane_\w+|key_\w+|http_\w+|clients?_\w+|webhook_\w+))"'
    return set(re.findall(shape, read_sources()))


def metrics_in(expression: str) -> set[str]:
    return {re.sub(r"_count$", "", name) for name in re.findall(r"laneway_\w+", expression)}


def test_the_example_of_an_autoscaler_asks_for_a_metric_that_exists() -> None:
    scaled = yaml.safe_load((ROOT / "docs/keda-scaledobject.yml").read_text())
    assert scaled["kind"] == "ScaledObject"
    (trigger,) = scaled["spec"]["triggers"]
    assert (trigger["type"], trigger["metadata"]["threshold"]) == ("prometheus", "1")
    query = trigger["metadata"]["query"]
    assert metrics_in(query) == {"laneway_lane_workers_wanted"} <= metrics_made()
    (queue,) = re.findall(r'queue="([^"]+)"', query)
    assert queue.startswith(queues.DEDICATED_PREFIX)
    # A wanted number can't be replaced by nothing: KEDA's own fall-back works with average values only.
    assert trigger["metricType"] == "AverageValue"
