"""Configs of the models whose peaks were published, so that no network is needed to build them.

Source: each model's config.json on the hub, of which only what decides shapes is kept; all have tied heads.
"""

from __future__ import annotations

from typing import Any

from transformers import GPT2Config, GPTNeoConfig, GPTNeoXConfig, OPTConfig, PretrainedConfig


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


def published_config(name: str) -> PretrainedConfig:
    """The config of a published model. Raises: ValueError for one that is not here, listing those that are."""
    known = {
        "facebook/opt-125m": lambda: _opt(12, 768, 12, 3072),
        "facebook/opt-350m": lambda: _opt(24, 1024, 16, 4096, word_embed_proj_dim=512, do_layer_norm_before=False),
        "facebook/opt-1.3b": lambda: _opt(24, 2048, 32, 8192),
        "facebook/opt-2.7b": lambda: _opt(32, 2560, 32, 10_240),
        "EleutherAI/gpt-neo-125M": lambda: _gpt_neo(12, 768, 12),
        "EleutherAI/gpt-neo-125m": lambda: _gpt_neo(12, 768, 12),
        "EleutherAI/gpt-neo-1.3B": lambda: _gpt_neo(24, 2048, 16),
        "openai-community/gpt2": lambda: _gpt2(12, 768, 12),
        "openai-community/gpt2-medium": lambda: _gpt2(24, 1024, 16),
        "openai-community/gpt2-large": lambda: _gpt2(36, 1280, 20),
        "distilbert/distilgpt2": lambda: _gpt2(6, 768, 12),
        "gpt2": lambda: _gpt2(12, 768, 12),
        "distilgpt2": lambda: _gpt2(6, 768, 12),
        "cerebras/Cerebras-GPT-111M": lambda: _cerebras(10, 768, 12),
        "cerebras/Cerebras-GPT-256M": lambda: _cerebras(14, 1088, 17),
        "EleutherAI/pythia-70m": lambda: _pythia(6, 512, 8, 50_304),
        "EleutherAI/pythia-160m": lambda: _pythia(12, 768, 12, 50_304),
        "EleutherAI/pythia-410m": lambda: _pythia(24, 1024, 16, 50_304),
        "EleutherAI/pythia-1b": lambda: _pythia(16, 2048, 8, 50_304),
    }
    if name not in known:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(known)}.")
    return known[name]()
