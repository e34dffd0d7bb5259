"""The Hugging Face hub: looked for once, quickly, before its client asks again and again for a minute."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from urllib.parse import urlsplit

ANSWER_SECONDS = 3.0  # for a name to be resolved and a request to be answered


@contextlib.contextmanager
def asking_the_hub() -> Iterator[None]:
    """While it is entered the hub's client logs errors only, and answers from its cache where the hub is out of reach.

    Its retries would speak before a program's one line does, and would take their time.
    """
    from huggingface_hub import constants
    from huggingface_hub.utils import logging

    verbosity, was_offline = logging.get_verbosity(), constants.HF_HUB_OFFLINE
    logging.set_verbosity_error()
    constants.HF_HUB_OFFLINE = was_offline or not is_reachable()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = was_offline
        logging.set_verbosity(verbosity)


@functools.cache
def is_reachable() -> bool:
    """Whether the hub, through a proxy where one is set, answers a request within `ANSWER_SECONDS`; asked once."""
    from concurrent.futures import ThreadPoolExecutor

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return False
    # In a thread, as nothing bounds how long a name takes to be resolved.
    pool = ThreadPoolExecutor(1, thread_name_prefix="hub")
    try:
        return pool.submit(_answers, constants.ENDPOINT).result(ANSWER_SECONDS)
    except TimeoutError:
        return False
    finally:
        pool.shutdown(wait=False)


def _answers(url: str) -> bool:
    """Whether anything speaks HTTP there: a connection alone is also what a closed network's gateway takes."""
    import ssl
    import urllib.error
    import urllib.request

    try:
        with urllib.request.build_opener().open(urllib.request.Request(url, method="HEAD"), timeout=ANSWER_SECONDS):
            return True
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:  # a certificate that this machine does not know is the client's to judge
        return isinstance(error.reason, ssl.SSLCertVerificationError)
    except OSError:
        return False


def hub_trouble(error: BaseException) -> str:
    """Why something could not be had from the hub, in a few words."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set and it is not in the cache"
    if not is_reachable():
        return f"{urlsplit(constants.ENDPOINT).hostname} does not answer and it is not in the cache"
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__
