"""Which released chunks have lost their message: counted first, looked at one by one only when some are missing."""

import json

import redis

from app.jobs.release import Overdue
from tasks.lost_messages import LostMessages, task_id

LANE = "verification-queue"


def send(client: "redis.Redis", *chunks: tuple[int, int]) -> None:
    """Put messages into the lane as Celery does: the newest at the head."""
    for chunk in chunks:
        message = {"body": "", "headers": {"id": task_id(*chunk)}, "properties": {}}
        client.lpush(LANE, json.dumps(message))


def client_of(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, decode_responses=True)


def test_nothing_is_lost_while_each_chunk_has_its_message(redis_url: str) -> None:
    client, looks = client_of(redis_url), LostMessages()
    send(client, (1, 0), (2, 0))
    for _ in range(3):
        assert looks.find(client, [Overdue(LANE, 2, [(1, 0), (2, 0)])]) == []


def test_a_message_counts_as_lost_when_it_is_missing_twice(redis_url: str) -> None:
    client, looks = client_of(redis_url), LostMessages()
    lane = Overdue(LANE, 2, [(1, 0), (2, 0)])
    send(client, (2, 0))
    assert looks.find(client, [lane]) == [], "it may be on its way to a lease"
    assert looks.find(client, [lane]) == [1]


def test_messages_of_younger_chunks_hide_nothing(redis_url: str) -> None:
    """A lane that is never empty: the lost one is found although more messages wait than chunks are overdue."""
    client, looks = client_of(redis_url), LostMessages()
    send(client, *((n, 0) for n in range(10, 20)))
    lane = Overdue(LANE, 11, [(1, 0)])
    assert [looks.find(client, [lane]) for _ in range(2)] == [[], [1]]


def test_a_message_with_an_old_fence_is_none(redis_url: str) -> None:
    client, looks = client_of(redis_url), LostMessages()
    send(client, (1, 0))
    lane = Overdue(LANE, 2, [(1, 1), (2, 0)])
    assert [looks.find(client, [lane]) for _ in range(2)] == [[], [1, 2]]


def test_a_chunk_that_was_leased_between_two_looks_is_not_lost(redis_url: str) -> None:
    client, looks = client_of(redis_url), LostMessages()
    assert looks.find(client, [Overdue(LANE, 1, [(1, 0)])]) == []
    assert looks.find(client, []) == []
    assert looks.find(client, [Overdue(LANE, 1, [(1, 0)])]) == []
