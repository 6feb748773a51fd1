"""The API's example in the page on onboarding: its commands are sent in their order, and the answers are those of the page."""

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from tests.factories import make_person, owner_sql
from tests.integration.http_world import Caller, Web

PAGE = (Path(__file__).parents[2] / "docs/onboarding.md").read_text()
SECTION = PAGE.partition("## The same over the API\n")[2].partition("\n## ")[0]
BLOCKS = re.findall(r"```(bash|json)\n(.*?)```", SECTION, flags=re.DOTALL)
SERVER = "http://127.0.0.1:8000"


@dataclass
class Step:
    """A command of the page, with the status and the answer that stand there."""

    status: int
    words: list[str]
    answer: Any

    def send(self, caller: Caller, files: dict[str, str]) -> TestResponse:
        """Send it as curl would."""
        rest = iter(self.words[1:])
        method, url, headers, body = "GET", "", {}, None
        for word in rest:
            if word == "-X":
                method = next(rest)
            elif word == "-H":
                name, _, value = next(rest).partition(": ")
                headers[name] = value
            elif word == "-d":
                body = next(rest)
                method = "POST" if method == "GET" else method
            elif word != "-s":
                url = word
        assert url.startswith(f"{SERVER}/api/")
        # The caller has a token of its own.
        assert headers.pop("Authorization") == "Bearer $TOKEN"
        if body and body.startswith("@"):
            body = files[body.removeprefix("@")]
        path = url.removeprefix(SERVER)
        return caller.call(method, path, data=body, headers=headers)


def read_steps() -> list[Step]:
    commands = [text for kind, text in BLOCKS if kind == "bash"]
    answers = [json.loads(text) for kind, text in BLOCKS if kind == "json"][1:]
    steps = []
    for command, answer in zip(commands, answers, strict=True):
        head, _, rest = command.partition("\n")
        steps.append(Step(int(head[2:5]), shlex.split(rest.replace("\\\n", " ")), answer))
    return steps


#: What is another each time, and what it looks like.
VARIES = {"id": UUID, "key_ids": UUID, "password": str}


def compare(told: Any, found: Any, name: str = "") -> None:
    """Assert that all that the page tells is so; it tells less than there is."""
    if isinstance(told, dict):
        assert isinstance(found, dict)
        assert set(told) <= set(found), f"not in the answer: {set(told) - set(found)}"
        for each, value in told.items():
            compare(value, found[each], each)
    elif isinstance(told, list):
        assert len(told) == len(found)
        for one, other in zip(told, found, strict=True):
            compare(one, other, name)
    elif name in VARIES:
        assert VARIES[name](told)
        assert VARIES[name](found)
    else:
        assert (name, told) == (name, found)


@pytest.fixture
def operator(web: Web) -> Caller:
    owner_sql("DELETE FROM api_keys")
    return web.caller(make_person(role="operator"))


def test_the_example_runs_as_it_stands(operator: Caller) -> None:
    files = {"client.json": next(text for kind, text in BLOCKS if kind == "json")}
    for step in read_steps():
        answer = step.send(operator, files)
        assert answer.status_code == step.status, answer.text
        compare(step.answer, answer.json)
        assert "mt_abc123xyz789" not in answer.text
        if answer.status_code == 201:
            assert f"Location: {answer.headers['Location']}" in SECTION


def test_the_example_has_each_verb() -> None:
    sent = " ".join(word for step in read_steps() for word in step.words)
    assert [verb for verb in ("-d @client.json", "PATCH", "DELETE") if verb not in sent] == []
    assert len(read_steps()) >= 6
