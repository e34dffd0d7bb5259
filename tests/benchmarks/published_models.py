"""Configs of the models whose peaks were published, and of their neighbours, so that no network is needed.

Source: each model's config.json on the hub, of which only what decides shapes is kept. Peaks of OPT, GPT-2, GPT-Neo and
Cerebras were compared with what others measured; of the rest none was at hand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import (
    AutoConfig,
    BloomConfig,
    CodeGenConfig,
    GPT2Config,
    GPTNeoConfig,
    GPTNeoXConfig,
    LlamaConfig,
    OPTConfig,
    PretrainedConfig,
    Qwen2Config,
    Qwen3Config,
)


def _opt(layers: int, width: int, heads: int, ffn_width: int, **others: Any) -> PretrainedConfig:
    return OPTConfig(
        vocab_size=50_272,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        ffn_dim=ffn_width,
        max_position_embeddings=2048,
        activation_function="relu",
        dropout=0.1,
        attention_dropout=0.0,
        enable_bias=True,
        **others,
    )


def _gpt2(layers: int, width: int, heads: int, **others: Any) -> PretrainedConfig:
    return GPT2Config(vocab_size=50_257, n_layer=layers, n_embd=width, n_head=heads, **others)


def _cerebras(layers: int, width: int, heads: int) -> PretrainedConfig:
    return _gpt2(
        layers,
        width,
        heads,
        n_inner=4 * width,
        n_positions=2048,
        activation_function="gelu",
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    )


def _gpt_neo(layers: int, width: int, heads: int) -> PretrainedConfig:
    return GPTNeoConfig(
        vocab_size=50_257,
        hidden_size=width,
        num_layers=layers,
        num_heads=heads,
        attention_types=[[["global", "local"], layers // 2]],
        max_position_embeddings=2048,
        window_size=256,
        attention_dropout=0,
        embed_dropout=0,
        resid_dropout=0,
    )


def _pythia(layers: int, width: int, heads: int, vocabulary: int) -> PretrainedConfig:
    partial_rotation: dict[str, Any] = {"rotary_pct": 0.25}
    return GPTNeoXConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        **partial_rotation,
    )


def _codegen(layers: int, width: int, heads: int) -> PretrainedConfig:
    return CodeGenConfig(
        vocab_size=51_200,
        n_embd=width,
        n_layer=layers,
        n_head=heads,
        n_positions=2048,
        rotary_dim=32,
        tie_word_embeddings=False,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
    )


def _grouped(
    kind: Callable[..., PretrainedConfig],
    layers: int,
    width: int,
    heads: int,
    key_heads: int,
    ffn_width: int,
    **others: Any,
) -> PretrainedConfig:
    """A model of Llama's kind, whose key heads serve several query heads each."""
    return kind(
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        intermediate_size=ffn_width,
        **others,
    )


KNOWN = {
    "facebook/opt-125m": lambda: _opt(12, 768, 12, 3072),
    "facebook/opt-350m": lambda: _opt(24, 1024, 16, 4096, word_embed_proj_dim=512, do_layer_norm_before=False),
    "facebook/opt-1.3b": lambda: _opt(24, 2048, 32, 8192),
    "facebook/opt-2.7b": lambda: _opt(32, 2560, 32, 10_240),
    "EleutherAI/gpt-neo-125m": lambda: _gpt_neo(12, 768, 12),
    "EleutherAI/gpt-neo-1.3B": lambda: _gpt_neo(24, 2048, 16),
    "EleutherAI/gpt-neo-2.7B": lambda: _gpt_neo(32, 2560, 20),
    "openai-community/gpt2": lambda: _gpt2(12, 768, 12),
    "openai-community/gpt2-medium": lambda: _gpt2(24, 1024, 16),
    "openai-community/gpt2-large": lambda: _gpt2(36, 1280, 20),
    "openai-community/gpt2-xl": lambda: _gpt2(48, 1600, 25),
    "distilbert/distilgpt2": lambda: _gpt2(6, 768, 12),
    "cerebras/Cerebras-GPT-111M": lambda: _cerebras(10, 768, 12),
    "cerebras/Cerebras-GPT-256M": lambda: _cerebras(14, 1088, 17),
    "cerebras/Cerebras-GPT-590M": lambda: _cerebras(18, 1536, 12),
    "EleutherAI/pythia-70m": lambda: _pythia(6, 512, 8, 50_304),
    "EleutherAI/pythia-160m": lambda: _pythia(12, 768, 12, 50_304),
    "EleutherAI/pythia-410m": lambda: _pythia(24, 1024, 16, 50_304),
    "EleutherAI/pythia-1b": lambda: _pythia(16, 2048, 8, 50_304),
    "EleutherAI/pythia-1.4b": lambda: _pythia(24, 2048, 16, 50_304),
    "Qwen/Qwen3-0.6B": lambda: _qwen3(28, 1024, 3072),
    "Qwen/Qwen3-1.7B": lambda: _qwen3(28, 2048, 6144),
    "Qwen/Qwen2.5-0.5B": lambda: _qwen2(24, 896, 14, 4864, tie_word_embeddings=True),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B": lambda: _qwen2(28, 1536, 12, 8960, tie_word_embeddings=False),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": lambda: _grouped(LlamaConfig, 22, 2048, 32, 4, 5632, vocab_size=32_000),
    "bigscience/bloom-560m": lambda: BloomConfig(vocab_size=250_880, hidden_size=1024, n_layer=24, n_head=16),
    "Salesforce/codegen-350M-mono": lambda: _codegen(20, 1024, 16),
}
_BY_LOWER_CASE = {name.lower(): make for name, make in KNOWN.items()}
_BY_LOWER_CASE |= {name.split("/")[1]: make for name, make in list(_BY_LOWER_CASE.items())}


def published_config(name: str) -> PretrainedConfig:
    """The config of a published model, called with its owner or without, or of a folder that holds a config.json.

    Raises: ValueError for a name that is neither, listing those that are known.
    """
    if name.lower() in _BY_LOWER_CASE:
        return _BY_LOWER_CASE[name.lower()]()
    if not (Path(name) / "config.json").is_file():
        raise ValueError(f"unknown model {name!r}; known: {', '.join(KNOWN)}, or a folder with a config.json.")
    try:
        return AutoConfig.from_pretrained(name, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"the config of {name!r} cannot be read: {str(error).strip().splitlines()[0]}") from None


def _qwen3(layers: int, width: int, ffn_width: int) -> PretrainedConfig:
    sizes = {"vocab_size": 151_936, "head_dim": 128, "max_position_embeddings": 40_960}
    return _grouped(Qwen3Config, layers, width, 16, 8, ffn_width, tie_word_embeddings=True, **sizes)


def _qwen2(layers: int, width: int, heads: int, ffn_width: int, *, tie_word_embeddings: bool) -> PretrainedConfig:
    sizes = {"vocab_size": 151_936, "max_position_embeddings": 32_768}
    return _grouped(Qwen2Config, layers, width, heads, 2, ffn_width, tie_word_embeddings=tie_word_embeddings, **sizes)
