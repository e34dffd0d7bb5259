"""The model that a finished trial left in its last checkpoint, and its folder as transformers and peft read it."""

from __future__ import annotations

import json
from pathlib import Path

from peft import PeftConfig, get_peft_model_state_dict
from safetensors.torch import load_model, save_file
from transformers import GenerationConfig, PreTrainedModel

from data.errors import UserError
from data.tokenizer import LoadedTokenizer
from trainables.model.models import ModelSource, add_adapters, find_model, weight_type
from trainables.model.models import load_model as load_base
from trainables.records.record import QualityReport
from trainables.records.settings import TrialSettings
from trainables.records.storage import Storage
from trainables.training.checkpoint_store import CheckpointStore


class TunedModelError(UserError):
    """A trial whose tuned model is not available; the message is one line for a person."""


def load_tuned(storage: Storage, trial_id: str, settings: TrialSettings, steps: int) -> PreTrainedModel:
    """The model as the trial left it after `steps`, on the CPU, ready to sample from.

    Raises: TunedModelError when that checkpoint is not there whole; ModelError when the base model cannot be had.
    """
    checkpoints = CheckpointStore(storage, trial_id, workers=settings.workers)
    newest = checkpoints.newest_whole()
    if newest != steps:
        found = "there is none" if newest is None else f"the newest that is whole was written at step {newest}"
        raise TunedModelError(f"trial {trial_id}: no checkpoint of its last step, {steps} ({found}); choose another.")
    model = load_base(
        find_model(settings.model),
        weights=settings.weights,
        dtype=weight_type(settings),
        attention=settings.attention,
        seed=settings.seed,
    )
    add_adapters(model, settings)
    with checkpoints.reading(steps) as folder:
        load_model(model, folder / "model.safetensors")
    model.config.use_cache = True
    return model.eval()


def save_tuned(model: PreTrainedModel, source: ModelSource, loaded: LoadedTokenizer, folder: Path) -> None:
    """Write weights, or the adapters alone where only they were trained, with their config, as safetensors."""
    adapters: dict[str, PeftConfig] = getattr(model, "peft_config", {})
    if not adapters:
        model.save_pretrained(folder)
    for config in adapters.values():
        config.base_model_name_or_path, config.inference_mode = source.location, True
        config.task_type = "CAUSAL_LM"
        config.save_pretrained(str(folder))
        # Off: where embeddings belong to the adapter, peft asks the hub about the base model.
        tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
        named = {f"base_model.model.{name}": tensor.contiguous() for name, tensor in tensors.items()}
        save_file(named, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    _save_tokenizer(loaded, folder)


def save_generation(quality: QualityReport, loaded: LoadedTokenizer, folder: Path) -> None:
    """Write what lets transformers' `generate` draw as the trial's samples were drawn, but for the chances themselves.

    `top_k` is set to 0, since transformers would otherwise keep to the 50 likeliest tokens.
    """
    chosen = {} if quality.greedy else {"temperature": quality.temperature, "top_p": quality.top_p, "top_k": 0}
    settings = GenerationConfig(
        do_sample=not quality.greedy,
        max_new_tokens=quality.max_new_tokens,
        bos_token_id=loaded.tokenizer.bos_token_id,
        eos_token_id=loaded.separator_id,
        pad_token_id=loaded.pad_id,
        **chosen,
    )
    settings.save_pretrained(folder)


def _save_tokenizer(loaded: LoadedTokenizer, folder: Path) -> None:
    """Write the tokenizer as repaired, under the class name that earlier transformers know it by, too."""
    loaded.tokenizer.save_pretrained(str(folder))
    path = folder / "tokenizer_config.json"
    settings = json.loads(path.read_text(encoding="utf-8"))
    if settings.get("tokenizer_class") == "TokenizersBackend":  # transformers 5's name for it
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    for name in ("is_local", "local_files_only"):
        settings.pop(name, None)
    path.write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
