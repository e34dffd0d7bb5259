"""The notice that a spot machine gets before it is taken away, from a fake of EC2's metadata service."""

from __future__ import annotations

import threading

import pytest

from tests.support.metadata_service import NOTICE, MetadataService
from tests.support.waiting import wait_until
from trainables.working.spot_notice import LIFE_CYCLE_PATH, NOTICE_PATH, SpotNotice, spot_notice

POLL_SECONDS = 0.02


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "spot-notice"]


def test_a_notice_is_heard_even_after_the_token_ran_out() -> None:
    with MetadataService() as service:
        told = SpotNotice(service.address, poll_seconds=POLL_SECONDS)
        wait_until(lambda: service.asked.count(NOTICE_PATH) > 1, "a second look")
        assert not told.is_given
        assert not told.asks_to_save()
        service.token = "second"
        service.notice = NOTICE
        wait_until(lambda: told.is_given, "the notice")
        wait_until(lambda: not watchers(), "the end of the watch")


def test_a_machine_on_demand_is_asked_once_and_left_alone() -> None:
    with MetadataService("on-demand") as service:
        told = SpotNotice(service.address, poll_seconds=POLL_SECONDS)
        wait_until(lambda: not watchers(), "the end of the watch")
        assert service.asked == [LIFE_CYCLE_PATH]
        assert not told.is_given


def test_a_checkpoint_is_asked_for_at_the_notice_and_every_half_minute_after_it() -> None:
    with MetadataService() as service:
        service.notice = NOTICE
        told = SpotNotice(service.address, poll_seconds=POLL_SECONDS)
        wait_until(lambda: told.is_given, "the notice")
    asked = [second for second in range(100, 190) if told.asks_to_save(lambda now=second: now)]
    assert asked == [100, 130, 160]


@pytest.mark.parametrize(
    ("environment", "vendor", "is_watched"),
    [
        ({}, "QEMU\n", False),
        ({}, None, False),
        ({}, "Amazon EC2\n", True),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "Amazon EC2\n", False),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:9/"}, None, True),
    ],
)
def test_only_amazons_machines_are_watched_unless_a_service_is_named(
    environment: dict[str, str], vendor: str | None, is_watched: bool, monkeypatch: pytest.MonkeyPatch, tmp_path
) -> None:
    for name in ("AWS_EC2_METADATA_DISABLED", "AWS_EC2_METADATA_SERVICE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if vendor is not None:
        (tmp_path / "vendor").write_text(vendor)
    monkeypatch.setattr("trainables.working.spot_notice.VENDOR", tmp_path / "vendor")
    watched: list[str | None] = []
    monkeypatch.setattr("trainables.working.spot_notice.SpotNotice", watched.append)
    spot_notice.__wrapped__()
    assert watched == [
        {True: environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254/")[:-1]}.get(is_watched)
    ]
