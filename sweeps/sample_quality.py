"""How does a model take on the style without spilling it over everything?

Question: over learning rate, epochs, replayed base text and model size, which trials write most in the style where it
is wanted and least where it is not? A front of the two, and what replay costs and buys.
Command: python sweeps/sample_quality.py
Hardware: any; nano models on a CPU, Galactica 125m on a CUDA GPU.
Time and result, 2026-11-25: 12 minutes for twelve trials of nano models on two CPU cores with much other work. Without
replay all the style spills over (0.82 to 1.00 wherever it is taken on); with a science line a quote nano-1m at 3e-3
writes in the style on every seen keyword and spills 0.25: quality 0.206, the best (docs/results/quality.md).
"""

import sys

from sweeps.planning.questions import Question, Space
from sweeps.run.launch import main

QUESTION = Question(
    name="sample_quality",
    asks="Sweep learning rate, epochs, replayed base text and model size against style and its spill-over.",
    objectives=("style", "spill_over"),
    columns=("trial", "size", "lr", "epochs", "replay", "loss", "style", "spill-over", "quality", "outcome"),
    starting_points=12,  # laid out evenly over the space before the sampler takes over
    on_cpu=Space(
        trials=12,
        models=("nano-0.3m", "nano-1m"),
        batch_sizes=(16,),
        micro_batch_sizes=(8,),
        learning_rates=(3e-4, 1e-3, 3e-3),
        sequence_length=128,
        epochs=(0.5, 1.0, 2.0),
        replay_ratios=(0.0, 0.5, 1.0),
    ),
    on_gpu=Space(
        trials=12,
        models=("125m",),
        batch_sizes=(16,),
        micro_batch_sizes=(8,),
        learning_rates=(1e-5, 3e-5, 1e-4),
        sequence_length=512,
        epochs=(1.0, 2.0, 4.0),
        replay_ratios=(0.0, 0.5, 1.0, 2.0),
    ),
    smoke=Space(
        trials=2,
        models=("nano-0.3m",),
        batch_sizes=(8,),
        micro_batch_sizes=(8,),
        learning_rates=(1e-3,),
        sequence_length=128,
        epochs=(0.05,),
        replay_ratios=(0.0, 1.0),
    ),
)

if __name__ == "__main__":
    sys.exit(main(QUESTION))
