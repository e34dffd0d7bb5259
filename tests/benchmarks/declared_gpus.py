"""The main job on a cluster whose GPUs are declared to Ray and not real: trials ask for GPUs and train on the CPU.

A stand-in for what cannot be had here. Command: RAY_ADDRESS=... python tests/benchmarks/declared_gpus.py, with the
flags of sweeps/batch_memory.py.
"""

import sys

from sweeps import launch
from sweeps.plan import Device

DECLARED = Device(gpus=2, gpu_bytes=24 * 2**30, cpus=2)

if __name__ == "__main__":
    launch.detect_device = lambda: DECLARED
    sys.exit(launch.main("batch_memory", "On declared GPUs.", sys.argv[1:]))
