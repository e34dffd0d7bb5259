"""When each line of a command's output came, and its longest silence.

    python tests/benchmarks/silences.py python sweeps/batch_memory.py --smoke

Stdout and stderr come together, as in a log file. With `--terminal` first, the command has a terminal of 120 columns,
and whatever is drawn counts as heard.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time

CHUNK_BYTES = 65_536


def main(arguments: list[str]) -> int:
    """Run the command. Returns: its exit code."""
    on_terminal = arguments[:1] == ["--terminal"]
    command = arguments[1:] if on_terminal else arguments
    ours, theirs = pty.openpty() if on_terminal else os.pipe()
    if on_terminal:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    begun = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)
    os.close(theirs)
    heard, silences = 0.0, list[tuple[float, float]]()
    line = b""
    while chunk := _chunk(ours):
        now = time.monotonic() - begun
        silences.append((now - heard, heard))
        heard = now
        if on_terminal:
            continue
        *lines, line = (line + chunk).split(b"\n")
        for whole in lines:
            print(f"{now:7.1f}  {whole.decode(errors='replace')}", flush=True)
    code = process.wait()
    end = time.monotonic() - begun
    silences.append((end - heard, heard))
    print(f"ended after {end:.1f} s with {code}; first heard after {silences[0][0]:.1f} s; longest silences:")
    for seconds, after in sorted(silences, reverse=True)[:5]:
        print(f"  {seconds:5.1f} s from {after:.1f} s on")
    return code


def _chunk(descriptor: int) -> bytes:
    select.select([descriptor], [], [])
    try:
        return os.read(descriptor, CHUNK_BYTES)
    except OSError:  # a terminal whose last writer has gone
        return b""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
