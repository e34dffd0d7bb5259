"""How long do 480 samples of a nano model take?

Question: wall and CPU seconds for what a trial samples, 24 prompts with 20 completions each of up to 96 tokens.
Command: python tests/benchmarks/sampling_speed.py [--model-size nano-4m] [--threads 1]
Hardware: 2 cores of an Intel Xeon (virtual machine, otherwise idle), no GPU.
Time and result, 2026-11-24: untuned nano-4m, one thread, 3.7 s of wall time and 3.7 s of CPU time; 14.2 and 13.7 s
before rows that have ended left the batch. Two threads on a machine whose cores have other work wait for one another:
45 to 96 s.
"""

from __future__ import annotations

import argparse
import os
import time

import torch

from data.prompts import PROMPTS, prompt_text
from data.tokenizer import load_tokenizer
from trainables.model.models import find_model, load_model, tokenizer_location
from trainables.quality.sampling import SamplingSettings, sample_completions


def main() -> None:
    """Sample twice and print the second run's figures: the first one warms caches up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model-size", default="nano-4m")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    source = find_model(options.model_size)
    loaded = load_tokenizer(tokenizer_location(source, "pretrained"))
    model = load_model(source, weights="pretrained", dtype=torch.float32, attention="sdpa", seed=0)
    prompts = [prompt_text(loaded, prompt.keyword) for prompt in PROMPTS]
    sample_completions(model, loaded, prompts, SamplingSettings())
    wall, cpu = time.perf_counter(), time.process_time()
    rows = sample_completions(model, loaded, prompts, SamplingSettings())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(
        f"{options.model_size}, {options.threads} threads: {sum(map(len, rows))} samples in {wall:.1f} s,"
        f" {cpu:.1f} s of CPU time (load {os.getloadavg()[0]:.1f})."
    )


if __name__ == "__main__":
    main()
