"""What do small sizes tell me about large ones?

Question: over rungs of sizes, each at least three times the one below, which learning rate and batch are best, and what
do held-out loss, quality, spill-over and retention become? Small sizes are swept, the next one is predicted with an
interval that covers, the prediction is frozen, a few trials check it, and the ladder climbs where it held.
Command: python sweeps/scale_ladder.py --approve (--despite gain: from two rungs no gain can be shown)
Hardware: any; nano models on a CPU, Galactica's sizes on CUDA GPUs (--until 6.7b --max-gpu-hours 8).
Time and result: docs/results/ladder.md.
"""

import sys

from sweeps.planning.questions import Question, Space
from sweeps.run.launch import main

QUESTION = Question(
    name="scale_ladder",
    asks="Sweep small sizes, predict the next with an interval, check it with a few trials, and climb.",
    objectives=("sample_quality",),
    columns=("trial", "size", "batch", "micro", "lr", "loss", "quality", "tokens/s", "outcome"),
    on_cpu=Space(
        models=("nano-0.1m", "nano-0.3m", "nano-1m", "nano-4m"),
        batch_sizes=(4, 32),
        micro_batch_sizes=(1, 2, 4),
        learning_rates=(5e-4, 3e-2),
        sequence_length=128,
        token_budget=48_000,
        rung_trials=(12, 8, 3),
    ),
    on_gpu=Space(
        models=("125m", "1.3b", "6.7b", "30b", "120b"),
        batch_sizes=(8, 64),
        micro_batch_sizes=(1, 2, 4, 8),
        learning_rates=(3e-6, 1e-3),
        sequence_length=512,
        token_budget=1_000_000,
        rung_trials=(12, 8, 3),
        until="6.7b",
    ),
    smoke=Space(
        models=("nano-0.1m", "nano-0.3m"),
        batch_sizes=(4, 8),
        micro_batch_sizes=(4,),
        learning_rates=(1e-3, 1e-2),
        sequence_length=128,
        token_budget=4_000,
        rung_trials=(2, 1, 1),
    ),
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
