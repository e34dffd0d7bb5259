"""Run a program of this project on PyTorch's own CUDA code where there is no GPU, to see what it would allocate there.

    python tests/benchmarks/cuda_stand_in.py tests/benchmarks/memory_accuracy.py --out FILE

wants PyTorch's CUDA build with the libraries that pip installs beside it, CUDA's headers, gcc and nm. Torch's
caching allocator, memory history, error texts and what its operations ask for are real; the runtime below them is
`cuda_stand_in.c`, which computes nothing. So sizes are seen, and neither values nor times; and not what the driver
takes, nor cuDNN, whose attention a Hopper card would use: it is switched off. Nothing of it is a measurement on a GPU.
STAND_IN_BYTES (default an H100's) and STAND_IN_MAJOR, STAND_IN_MINOR (9, 0) say what card it seems to be.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
LIBRARIES = ("libtorch_cuda.so", "libc10_cuda.so", "libtorch_python.so", "libtorch_cpu.so", "libtorch_cuda_linalg.so")


def main() -> None:
    """Build the stand-in in a folder of its own and run the program on it."""
    if len(sys.argv) < 2:
        raise SystemExit("name a program: python tests/benchmarks/cuda_stand_in.py PROGRAM [its flags]")
    found = importlib.util.find_spec("torch")
    folder = Path(found.origin or "").parent / "lib" if found else Path()
    if not (folder / LIBRARIES[0]).exists():
        raise SystemExit("this torch has no CUDA in it; install PyTorch's CUDA build in an environment of its own.")
    with tempfile.TemporaryDirectory() as name:
        built = build(folder, Path(name))
        set_here = {"LD_PRELOAD": str(built), "LD_LIBRARY_PATH": name, "TORCH_CUDNN_SDPA_DEPRIORITIZED": "1"}
        raise SystemExit(subprocess.call([sys.executable, *sys.argv[1:]], env=os.environ | set_here))


def build(torch_folder: Path, folder: Path) -> Path:
    """Compile the stand-in for this torch, and a driver that does nothing. Returns: the library to preload."""
    written = set(re.findall(r"\b(_*cu\w+)\(", SOURCE.read_text()))
    wanted = {name for library in LIBRARIES for name in _missing(torch_folder / library)}
    runtime = {name for name in wanted if re.match(r"(__)?cuda|cublas", name)} - written
    driver = {name for name in _missing(torch_folder / "libcaffe2_nvrtc.so") if re.match(r"cu[A-Z]", name)}
    (folder / "rest.c").write_text("".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(runtime)))
    context = "int cuCtxGetCurrent(void **context) { *context = (void *)8; return 0; }\n"
    driver_text = "".join(f"int {name}(void) {{ return 0; }}\n" for name in sorted(driver - {"cuCtxGetCurrent"}))
    (folder / "driver.c").write_text(context + driver_text)
    toolkit = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda"))
    places = [toolkit / "include", *Path("/usr/local").glob("cuda*/include")]
    include = next((place for place in places if (place / "cuda_runtime_api.h").exists()), places[0])
    compiled = ["gcc", "-O1", "-w", "-shared", "-fPIC"]
    preloaded = folder / "libstand_in.so"
    subprocess.check_call([*compiled, f"-I{include}", "-o", preloaded, SOURCE, folder / "rest.c", "-lpthread"])
    subprocess.check_call([*compiled, "-Wl,-soname,libcuda.so.1", "-o", folder / "libcuda.so.1", folder / "driver.c"])
    return preloaded


def _missing(library: Path) -> list[str]:
    """Names that a library takes from others."""
    listed = subprocess.check_output(["nm", "-D", "--undefined-only", library], text=True)
    return [line.split()[-1].partition("@")[0] for line in listed.splitlines()]


if __name__ == "__main__":
    main()
