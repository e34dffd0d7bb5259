"""How does a model take on the style without spilling it over everything?

Question: over learning rate, epochs, replayed base text and model size, which trials write most in the style where it
is wanted and least where it is not? A front of the two, and what replay costs and buys.
Command: python sweeps/sample_quality.py
Hardware: any; nano models on a CPU, Galactica 125m on a CUDA GPU.
"""

import sys

from sweeps.run.launch import main

if __name__ == "__main__":
    description = "Sweep learning rate, epochs, replayed base text and model size against style and its spill-over."
    sys.exit(main("sample_quality", description, sys.argv[1:]))
