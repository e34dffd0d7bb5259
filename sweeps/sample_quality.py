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

from sweeps.run.launch import main

if __name__ == "__main__":
    description = "Sweep learning rate, epochs, replayed base text and model size against style and its spill-over."
    sys.exit(main("sample_quality", description, sys.argv[1:]))
