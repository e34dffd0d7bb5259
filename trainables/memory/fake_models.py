"""A causal language model with shapes and no storage, from its config alone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig, PreTrainedModel


def fake_model(config: PretrainedConfig, *, dtype: torch.dtype, attention: str) -> PreTrainedModel:
    """The model of a config in training mode; call under a fake tensor mode. Nothing is drawn or stored.

    Raises: ValueError from transformers when the config belongs to no causal language model.
    """
    from transformers import AutoModelForCausalLM
    from transformers.initialization import no_init_weights

    with no_init_weights():
        model = AutoModelForCausalLM.from_config(copy.deepcopy(config), dtype=dtype, attn_implementation=attention)
    model.tie_weights()
    return model.train()
