"""A hub out of reach is found out once and quickly; what is asked of it then comes from the cache or not at all."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from data import hub
from data.hub import asking_the_hub, hub_trouble, is_reachable
from data.tokenizer import TokenizerError, load_tokenizer
from trainables.model.models import ModelError, find_model, load_config


@pytest.fixture(autouse=True)
def online_client(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The hub's client as if nobody had set it offline; a name that nobody resolves stands for the hub."""
    for name in ("no_proxy", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "https://hub.invalid")
    is_reachable.cache_clear()
    yield
    is_reachable.cache_clear()


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_hub_that_answers_is_reachable_whatever_it_says(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", f"http://{address}")
    assert is_reachable()
    with asking_the_hub():
        assert not constants.HF_HUB_OFFLINE


def test_a_hub_behind_a_proxy_is_asked_through_the_proxy(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://{address}")
    monkeypatch.setattr(constants, "ENDPOINT", "http://hub.invalid")
    assert is_reachable()


def test_a_gateway_that_takes_connections_and_says_nothing_is_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        assert not is_reachable()


def test_a_name_that_takes_for_ever_to_resolve_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr(hub, "_answers", lambda url: time.sleep(3) or True)
    began = time.monotonic()
    assert not is_reachable()
    assert time.monotonic() - began < 2.5  # the thread's own 3 s are not waited for


def test_the_client_is_offline_while_the_hub_is_out_of_reach() -> None:
    with asking_the_hub():
        assert constants.HF_HUB_OFFLINE
    assert not constants.HF_HUB_OFFLINE


def test_a_model_and_a_tokenizer_without_a_hub_are_one_line_that_says_so() -> None:
    with pytest.raises(ModelError) as caught:
        load_config(find_model("owner/model"), "pretrained")
    assert "hub.invalid does not answer" in str(caught.value)
    assert "offline mode" not in str(caught.value)
    with pytest.raises(TokenizerError) as told:
        load_tokenizer("owner/model")
    assert "hub.invalid does not answer" in str(told.value)
    assert hub_trouble(OSError("x")) == "hub.invalid does not answer and it is not in the cache"
