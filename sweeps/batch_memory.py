"""What batch fits, and what does it buy?

Question: over model size, batch size, micro-batch size and learning rate, which trials write the best samples, need the
least memory and train fastest? A Pareto front of the three.
Command: python sweeps/batch_memory.py
Hardware: any; nano models on a CPU, Galactica 125m on a CUDA GPU.
Time and result, 2026-11-24: 175 s for twelve trials of nano models on two quiet CPU cores. Memory follows the
micro-batch, not the batch. Without replay every rate that takes the style on spills all of it: quality 0.03 at best
(docs/results/quality.md).
"""

import sys

from sweeps.planning.questions import Question, Space
from sweeps.run.launch import main

QUESTION = Question(
    name="batch_memory",
    asks="Sweep batch size, micro-batch size, learning rate and model size against memory, quality and speed.",
    objectives=("sample_quality", "peak_bytes", "tokens_per_second"),
    columns=("trial", "size", "batch", "micro", "lr", "loss", "quality", "peak", "tokens/s", "outcome"),
    starting_points=12,  # laid out evenly over the space before the sampler takes over
    on_cpu=Space(
        trials=12,
        models=("nano-0.3m", "nano-1m", "nano-4m"),
        batch_sizes=(8, 16, 32),
        micro_batch_sizes=(2, 4, 8),
        learning_rates=(1e-4, 3e-4, 1e-3, 3e-3),
        sequence_length=128,
        token_budget=48_000,
    ),
    on_gpu=Space(
        trials=12,
        models=("125m",),
        batch_sizes=(8, 16, 32),
        micro_batch_sizes=(2, 4, 8),
        learning_rates=(1e-5, 3e-5, 1e-4, 3e-4),
        sequence_length=512,
        token_budget=1_000_000,
    ),
    smoke=Space(
        trials=2,
        models=("nano-0.3m",),
        batch_sizes=(8,),
        micro_batch_sizes=(4,),
        learning_rates=(1e-4, 3e-4, 1e-3, 3e-3),
        sequence_length=128,
        token_budget=4_000,
    ),
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
