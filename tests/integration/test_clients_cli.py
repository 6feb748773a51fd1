"""The commands for clients and keys, as an operator types them."""

import getpass
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import Result
from cryptography.fernet import Fernet
from flask.testing import FlaskCliRunner

from app.crypto import decrypt
from app.settings import get_settings
from sandbox.process import RunningSandbox, run_sandbox
from tests.factories import Person, make_job, make_person, make_tenant, owner_sql
from tests.integration.http_world import Web

SHARED = "verification-queue"
KEYS = "mt_abc123xyz789\nmt_def456uvw012\n"
SECRETS = KEYS.split()
TABLES = ("tenants", "users", "worker_configs", "api_keys", "audit_events", "tenant_routes")


@pytest.fixture
def cli(web: Web) -> FlaskCliRunner:
    return web.app.test_cli_runner()


@pytest.fixture
def person(web: Web) -> Person:
    # Tests share their keys, and rows with one key have the same limits.
    owner_sql("DELETE FROM api_keys")
    return make_person(make_tenant())


def run(cli: FlaskCliRunner, *words: str, stdin: str = "") -> Result:
    result = cli.invoke(args=list(words), input=stdin)
    assert "Traceback" not in result.output
    assert not [secret for secret in SECRETS if secret in result.output]
    return result


def lane_of(person: Person) -> str:
    assert person.tenant
    return f"{SHARED}:client-{person.tenant.slug}"


def onboard(cli: FlaskCliRunner, person: Person, *words: str, stdin: str = KEYS) -> Result:
    queue = ("--queue", lane_of(person), "--key-stdin")
    return run(cli, "clients", "onboard", person.email, *queue, *words, stdin=stdin)


def contents() -> dict[str, str]:
    query = "SELECT coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '') FROM {} t"
    return {table: owner_sql(query.format(table)) for table in TABLES}


def show(cli: FlaskCliRunner, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(cli, "clients", "show", name, "--json").output)
    return found


def key_ids(cli: FlaskCliRunner, person: Person) -> list[str]:
    """The ids of the keys, in the order of SECRETS."""
    ids = {key["hint"]: key["id"] for key in show(cli, person.email)["own_keys"]}
    return [ids[secret[-4:]] for secret in SECRETS]


def test_a_client_is_onboarded(cli: FlaskCliRunner, person: Person) -> None:
    assert person.tenant
    slug = person.tenant.slug
    make_job(person.tenant, 300)
    options = ("--spacing-ms", "250", "--spacing-ms", "125", "--daily-limit", "500000")
    result = onboard(cli, person, *options, "--per-30s", "165", "--notes", "Acme, 2 January")
    assert result.exit_code == 0, result.output
    assert f"lane {SHARED} -> {lane_of(person)}, 3 waiting chunks moved" in result.output
    assert "key …z789 added\t250 ms\t165 / 30 s\t500000 / day" in result.output
    assert "key …w012 added\t125 ms" in result.output
    assert "2 keys: 9.5 a second" in result.output
    assert f"clients worker {slug}" in result.output
    client = show(cli, slug)
    assert (client["queue"], client["is_dedicated"], client["notes"]) == (
        lane_of(person),
        True,
        "Acme, 2 January",
    )
    assert client["api_key_hint"] == "z789,w012"
    assert client["capacity"]["per_day"] == 820_800
    assert {change["actor"] for change in client["changes"]} == {f"cli:{getpass.getuser()}"}


def test_twice_changes_nothing(cli: FlaskCliRunner, person: Person) -> None:
    onboard(cli, person)
    before = contents()
    again = onboard(cli, person)
    assert again.exit_code == 0
    assert again.output.count("kept as it was") == 2
    assert "nothing moved" in again.output
    assert contents() == before


def test_keys_come_from_a_file_or_as_arguments(
    cli: FlaskCliRunner, person: Person, tmp_path: Path
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{SECRETS[0]}\n\n")
    words = ("clients", "onboard", person.email, "--queue", lane_of(person))
    result = run(cli, *words, "--key-file", str(file), "--key", SECRETS[1])
    assert result.exit_code == 0
    assert result.output.count(" added") == 2
    assert "list of processes" in run(cli, "clients", "onboard", "--help").output


@pytest.mark.parametrize(
    ("words", "stdin", "said"),
    [
        (["--spacing-ms", "1", "--spacing-ms", "2", "--spacing-ms", "3"], KEYS, "3 times for 2"),
        (["--spacing-ms", "-1"], KEYS, "spacing"),
        ([], "", "Nothing came on standard input"),
        ([], f"{SECRETS[0]}\n{SECRETS[0]}\n", "given twice"),
        ([], f"{SECRETS[0]}\nshort\n", "8 to 512"),
        (["--create"], KEYS, "needs --name and --slug"),
        (["--slug", "x"], KEYS, "are for --create"),
    ],
)
def test_half_way_leaves_nothing(
    cli: FlaskCliRunner, person: Person, words: list[str], stdin: str, said: str
) -> None:
    before = contents()
    result = onboard(cli, person, *words, stdin=stdin)
    assert result.exit_code in {1, 2}
    assert said in result.output
    assert contents() == before


def test_the_databases_refusals_are_sentences(cli: FlaskCliRunner, person: Person) -> None:
    onboard(cli, person)
    other = make_person(make_tenant())
    before = contents()
    taken = ("clients", "onboard", other.email, "--key-stdin", "--queue")
    result = run(cli, *taken, lane_of(person), stdin=KEYS)
    assert result.exit_code == 1
    assert "choose another name, or take the other row out of use first." in result.output
    result = run(cli, *taken, "client-acme", stdin=KEYS)
    assert "Write verification-queue:client- and then small letters" in result.output
    result = run(cli, "clients", "onboard", "nobody@example.com", "--queue", lane_of(other))
    assert "--create --name NAME --slug SLUG" in result.output
    assert contents() == before


def test_client_and_person_can_be_made_on_the_way(cli: FlaskCliRunner) -> None:
    words = ("clients", "onboard", "New@Example.com", "--queue", f"{SHARED}:client-new")
    create = ("--create", "--name", "New GmbH", "--slug", "new")
    first = run(cli, *words, *create)
    assert first.exit_code == 0, first.output
    assert "password " in first.output
    assert "password " not in run(cli, *words, *create).output
    other = (*create[:-1], "another")
    assert "belongs to the client new" in run(cli, *words, *other).output
    assert run(cli, *words).exit_code == 0


def test_rolled_back_put_back_removed(cli: FlaskCliRunner, person: Person) -> None:
    assert person.tenant
    slug, lane = person.tenant.slug, lane_of(person)
    onboard(cli, person)
    make_job(person.tenant, 300)
    moved = "3 waiting chunks moved"
    for act, words in (
        ("rollback", f"{lane} -> {SHARED}, {moved}"),
        ("rollback", "nothing moved"),
        ("enable", f"{SHARED} -> {lane}, {moved}"),
    ):
        assert words in run(cli, "clients", act, slug).output
    asked = run(cli, "clients", "remove", slug, stdin="n\n")
    assert (asked.exit_code, lane in asked.output) == (1, True)
    assert show(cli, slug)["is_dedicated"]
    assert f"{lane} -> {SHARED}" in run(cli, "clients", "remove", slug, "--yes").output
    assert show(cli, slug)["configured_queue"] is None
    missing = run(cli, "clients", "enable", slug)
    assert (missing.exit_code, "clients onboard" in missing.output) == (1, True)


def test_settings_are_set_and_told(cli: FlaskCliRunner, person: Person) -> None:
    onboard(cli, person)
    words = ("clients", "set", person.email)
    options = ("--weight", "3", "--max-in-flight", "20", "--max-in-flight-per-job", "5")
    result = run(cli, *words, *options, "--key-policy", "own", "--fallback-after", "60")
    assert "weight 1 -> 3" in result.output
    assert "fallback_after_seconds none -> 60" in result.output
    off = run(cli, *words, "--fallback-after", "off", "--max-in-flight", "none")
    assert "fallback_after_seconds 60 -> none" in off.output
    assert "nothing changed" in run(cli, *words, "--weight", "3").output
    assert "30 or more" in run(cli, *words, "--fallback-after", "5").output
    assert run(cli, *words, "--weight", "0").exit_code == 1
    for wrong in ("0", "soon"):
        assert run(cli, *words, "--fallback-after", wrong).exit_code == 2
    assert run(cli, *words).exit_code == 2


def test_a_client_is_shown(cli: FlaskCliRunner, person: Person) -> None:
    assert person.tenant
    onboard(cli, person)
    shown = run(cli, "clients", "show", str(person.id)).output
    for words in (
        f"lane configured {lane_of(person)} (in use, by {person.email}",
        f"lane in force {lane_of(person)}",
        "fall-back off",
        "no worker on its lane",
        "key policy own_then_platform",
        "…z789",
        "in force",
        "capacity 2 keys: 8 a second",
        "key.added",
    ):
        assert words in shown
    listed = run(cli, "clients", "list").output
    assert any(line.startswith(f"{person.tenant.slug}\t") for line in listed.splitlines())
    clients = json.loads(run(cli, "clients", "list", "--json").output)
    assert person.tenant.slug in {client["slug"] for client in clients}
    missing = run(cli, "clients", "show", "missing")
    assert (missing.exit_code, "`clients list` shows them" in missing.output) == (1, True)


def test_worker_and_message_are_printed(cli: FlaskCliRunner, person: Person) -> None:
    assert person.tenant
    slug = person.tenant.slug
    onboard(cli, person)
    env = run(cli, "clients", "worker", slug, "--keys-in-environment").output
    assert f"VERIFICATION_QUEUE={lane_of(person)}" in env
    assert person.tenant
    assert f"DEDICATED_CLIENT_ID={person.tenant.id}" in env
    assert "MAILTESTER_API_KEYS=<key ending in …w012>,<key ending in …z789>" in env
    assert "MAILTESTER" not in run(cli, "clients", "worker", slug).output
    kinds = [
        document["kind"]
        for document in yaml.safe_load_all(
            run(cli, "clients", "worker", slug, "--format", "kubernetes").output
        )
    ]
    assert kinds == ["Secret", "Deployment"]
    told = run(cli, "clients", "message", slug)
    assert told.stdout.startswith("Subject: ")
    assert "691,200 verifications/day" in told.stdout
    assert f"Not true yet of {slug}: no worker serves {lane_of(person)}." in told.stderr


def test_changes_are_told(cli: FlaskCliRunner, person: Person) -> None:
    assert person.tenant
    onboard(cli, person)
    lines = run(cli, "clients", "history", person.tenant.slug).output.splitlines()
    assert [line.split("\t")[4] for line in lines] == ["lane.changed", "key.added", "key.added"]
    newest = lines[0].split("\t")[0]
    older = run(cli, "clients", "history", "--before", newest, "--limit", "1", "--json").output
    assert len(json.loads(older)) == 1


def test_a_check_that_fails_says_so_in_its_exit_code(cli: FlaskCliRunner, person: Person) -> None:
    assert person.tenant
    make = run(cli, "clients", "check", person.tenant.slug)
    assert make.exit_code == 1
    assert "failed\tRouting row" in make.output
    assert "-> Onboard it: clients onboard" in make.output
    lines = json.loads(run(cli, "clients", "check", person.tenant.slug, "--json").output)
    assert lines[0]["ok"] is False


def test_keys_are_added_edited_and_removed(cli: FlaskCliRunner, person: Person) -> None:
    assert person.tenant
    words = ("keys", "add", "--tenant", person.tenant.slug, "--reset-hour", "5")
    windows = ("--window", "1000/3600s", "--window", "9000/1d")
    assert run(cli, *words, *windows, stdin=KEYS).exit_code == 2
    assert run(cli, *words, "--window", "1000/1h", stdin=KEYS).exit_code == 0
    (key,) = show(cli, person.email)["own_keys"]
    assert (key["reset_hour"], key["extra_windows"]) == (5, [[1000, 3600]])
    edit = ("keys", "edit", key["id"])
    assert "spacing_ms 250 -> 300" in run(cli, *edit, "--spacing-ms", "300").output
    assert "nothing changed" in run(cli, *edit, "--spacing-ms", "300").output
    changed = run(cli, *edit, "--per-30s", "0", "--no-windows", "--daily-limit", "0", "--disable")
    assert "daily_limit 500000 -> None" in changed.output
    (key,) = show(cli, person.email)["own_keys"]
    assert (key["is_enabled"], key["in_force"], key["requests_per_window"]) == (False, False, None)
    twice = ("--window", "5/30", "--per-30s", "9")
    assert "two windows of the same length" in run(cli, *edit, *twice).output
    assert run(cli, *edit).exit_code == 2
    assert "not in use yet" in run(cli, "keys", "reset", key["id"]).output
    assert run(cli, "keys", "remove", key["id"], stdin="n\n").exit_code == 1
    assert "is removed" in run(cli, "keys", "remove", key["id"], "--yes").output
    for command in ("remove", "edit", "test", "reset"):
        option = ["--yes"] if command == "remove" else ["--disable"] if command == "edit" else []
        gone = run(cli, "keys", command, key["id"], *option)
        assert (gone.exit_code, "no such stored key" in gone.output) == (1, True)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with run_sandbox() as running:
        running.put_keys({"key": SECRETS[0], "spacing_ms": 250})
        yield running


def test_a_key_is_tried_and_let_go_on(
    cli: FlaskCliRunner, person: Person, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAILTESTER_BASE_URL", sandbox.url)
    get_settings.cache_clear()
    try:
        onboard(cli, person)
        good, bad = key_ids(cli, person)
        tried = run(cli, "keys", "test", good, "--address", "ok-a@example.com")
        assert (tried.exit_code, tried.output.startswith("ok answered")) == (0, True)
        refused = run(cli, "keys", "test", bad)
        assert (refused.exit_code, refused.output.startswith("failed ")) == (1, True)
        listed = json.loads(run(cli, "keys", "list", "--json").output)
        assert {key["id"]: key["health"] for key in listed if key["id"] in {good, bad}} == {
            good: "closed",
            bad: "open",
        }
        assert "…w012 may be used again (circuit closed)" in run(cli, "keys", "reset", bad).output
        told = run(cli, "clients", "history", person.email).output.splitlines()[:3]
        assert [line.split("\t")[4] for line in told] == ["key.reset", "key.tested", "key.tested"]
        assert {line.split("\t")[2] for line in told} == {f"cli:{getpass.getuser()}"}
        assert "Key …w012 tested: did not pass, provider unauthorized" in told[1]
        assert "Key …z789 tested: passed, valid" in told[2]
        # Neither a secret (`run` looks for them) nor the address that was asked about.
        assert "ok-a@example.com" not in "".join(told)
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()


def test_secrets_are_encrypted_anew(
    cli: FlaskCliRunner, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    onboard(cli, person)
    (first, _) = key_ids(cli, person)
    old = get_settings().encryption_keys.get_secret_value()
    new = Fernet.generate_key().decode()
    total = owner_sql("SELECT count(*) FROM api_keys")
    secret = "SELECT secret_encrypted FROM api_keys WHERE id = :id"
    try:
        monkeypatch.setenv("ENCRYPTION_KEYS", f"{new}, {old}")
        get_settings.cache_clear()
        assert f"{total} secrets encrypted anew, 0 had" in run(cli, "keys", "reencrypt").output
        assert f"0 secrets encrypted anew, {total} had" in run(cli, "keys", "reencrypt").output
        monkeypatch.setenv("ENCRYPTION_KEYS", new)
        get_settings.cache_clear()
        assert decrypt(bytes(owner_sql(secret, {"id": first}))) == SECRETS[0]
        # None of the keys fits: nothing is touched, and the key is named.
        monkeypatch.setenv("ENCRYPTION_KEYS", old)
        get_settings.cache_clear()
        before = contents()
        lost = run(cli, "keys", "reencrypt")
        assert (lost.exit_code, "Add that key again" in lost.output) == (1, True)
        assert contents() == before
        monkeypatch.setenv("ENCRYPTION_KEYS", f"{old},{new}")
        get_settings.cache_clear()
        assert run(cli, "keys", "reencrypt").exit_code == 0
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert "keys.reencrypted" in run(cli, "clients", "history").output
