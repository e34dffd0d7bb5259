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

from sweeps.run.launch import main

if __name__ == "__main__":
    description = "Sweep batch size, micro-batch size, learning rate and model size against memory, quality and speed."
    sys.exit(main("batch_memory", description, sys.argv[1:]))
