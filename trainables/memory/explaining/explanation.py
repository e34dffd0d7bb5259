"""Everything `explain_memory` says about one training step, as a plain document that is cached whole.

Reading a cached one takes a tenth of a second with Python's start; so what is needed only to make one is imported late.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
import time
from collections.abc import Iterator
from typing import Any

from trainables.memory.cards import Card
from trainables.memory.tracing.cache import KIND, cache_key
from trainables.memory.tracing.trial_trace import trial_facts
from trainables.records.disk_cache import load_document, store_document
from trainables.records.settings import TrialSettings


def explain(settings: TrialSettings, card: Card, gpus: int = 1) -> dict[str, Any]:
    """Components, peak, fits or not, the largest micro-batch, remedies and sharded figures; sizes in bytes.

    Raises: UserError for a sequence longer than the model's positions or a LoRA rank above its width; ModelError.
    """
    started = time.perf_counter()
    facts = trial_facts(settings, card)
    key = cache_key(facts | {"card": repr(card), "gpus": gpus, "batch_size": settings.batch_size})
    document = load_document(KIND, key)
    if document is None:
        may_fork = can_fork()
        with quick_imports():
            from trainables.memory.explaining.step_explanation import explain_step

            document = explain_step(settings, card, gpus, may_fork=may_fork)
        store_document(KIND, key, json.dumps(document))
    return document | {"seconds": round(time.perf_counter() - started, 3)}


def can_fork() -> bool:
    """Whether this process may be forked: one that has not used torch yet has none of its threads."""
    return sys.platform == "linux" and "torch" not in sys.modules


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import thousands of modules without what takes most of a second and serves nothing here.

    All modules stay, so that looking for garbage among them is pointless, then and at the end; and transformers loads
    scipy for the losses of vision models.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        if "transformers.loss" not in sys.modules:
            from unittest import mock

            import transformers.utils

            with mock.patch.object(transformers.utils, "is_scipy_available", return_value=False):
                import transformers.loss.loss_utils
        yield
    finally:
        if was_on:
            gc.freeze()
            gc.enable()
