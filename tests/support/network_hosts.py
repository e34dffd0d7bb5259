"""Hosts of a network on this one machine: namespaces, each with its own address, processes, /tmp and real sshd.

They share this machine's files, so an environment need not be installed in each. There is no way out of the network.
Needs root, iproute2, openssh-server and rsync. A host dies with the process that made it, and its network link with it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.waiting import PATIENCE_SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("ip", "sshd", "ssh", "ssh-keygen", "rsync", "unshare", "setpriv", "nsenter")
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

# The new process waits for its end of the cable. /etc/passwd moves root's home, so that each host has its own.
# Ray learns its own address from the route to 8.8.8.8 and sends nothing there; nor could it.
BOOT = """
set -e
mount --make-rprivate /
mount -t proc proc /proc
hostname {name}
mount -t tmpfs -o size=50% tmpfs /dev/shm
mkdir -p /run/sshd
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/shadow /etc/shadow
mount --rbind /tmp {folder}/outer
mount --bind {folder}/tmp /tmp
{keep}
until ip link show eth0 > /dev/null 2>&1; do sleep 0.05; done
ip link set lo up
ip address add {address}/24 dev eth0
ip link set eth0 up
ip route add 8.8.8.8/32 dev eth0
exec /usr/sbin/sshd -D -e -f {folder}/sshd_config
"""
SSHD = """
ListenAddress {address}:22
HostKey {hostkey}
AuthorizedKeysFile {key}.pub
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
"""


def why_not() -> str | None:
    """Why there can be no hosts here, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "hosts of namespaces need root on Linux"
    missing = [command for command in COMMANDS if shutil.which(command, path=PATH) is None]
    if missing:
        return f"hosts need {', '.join(missing)}: apt-get install iproute2 openssh-server openssh-client rsync"
    probe = subprocess.run(["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, text=True)
    return f"namespaces are not to be had here: {probe.stderr.strip()}" if probe.returncode else None


class Network:
    """A bridge, the addresses behind it, and the key that opens every host; all gone at the end of the `with`."""

    def __init__(self) -> None:
        number = os.getpid() % 250
        self.gateway = f"198.18.{number}.1"  # a range that no real network uses (RFC 2544)
        self.subnet = f"198.18.{number}.0/24"
        self._bridge = f"sweeps{number}"
        self._hosts: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = Path(tempfile.mkdtemp(prefix="hosts-", dir="/var/tmp"))  # in sight of hosts, unlike /tmp
        self.key = self._folder / "key"
        self.profile = ""

    def __enter__(self) -> Network:
        for name in ("key", "hostkey"):
            _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self._folder / name))
        _run("ip", "link", "add", self._bridge, "type", "bridge")
        _run("ip", "address", "add", f"{self.gateway}/24", "dev", self._bridge)
        _run("ip", "link", "set", self._bridge, "up")
        return self

    def __exit__(self, *error: object) -> None:
        for address in list(self._hosts):
            self.stop(address)
        subprocess.run(["ip", "link", "delete", self._bridge], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def addresses(self) -> list[str]:
        """Of the hosts that are up."""
        return sorted(self._hosts)

    def start(self, address: str, environment: Mapping[str, str]) -> None:
        """Bring a host up whose log-in shells have `environment`. Raises: AssertionError when no sshd answers."""
        folder = self._folder / address
        self._furnish(folder, address, environment)
        keep = [_keep(path, folder) for path in (ROOT, Path(sys.prefix), Path(sys.base_prefix)) if _in_tmp(path)]
        name = address.replace(".", "-")
        boot = BOOT.format(name=name, folder=folder, address=address, keep="\n".join(keep))
        shut = ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--ipc", "--uts"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [*shut, "--fork", "--kill-child", "bash", "-c", boot], stdout=log, stderr=log, env={"PATH": PATH}
            )
        self._hosts[address] = process
        self._plug_in(process.pid, address)
        wait_until(lambda: self._answers(address), f"an sshd at {address}, whose log is {folder / 'log'}")

    def stop(self, address: str) -> None:
        """End a host with all that runs on it, at once, as a machine that is taken away."""
        process = self._hosts.pop(address)
        process.kill()
        process.wait(PATIENCE_SECONDS)
        subprocess.run(["ip", "link", "delete", self._cable(address)], check=False, capture_output=True)

    def run(self, address: str, command: str, timeout_seconds: float = 30) -> str:
        """What a command printed on a host, over ssh. Raises: CalledProcessError."""
        options = ["-i", str(self.key), "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "ConnectTimeout=2"]
        return subprocess.run(
            ["ssh", "-q", *options, f"root@{address}", command],
            check=True,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
        ).stdout

    def _furnish(self, folder: Path, address: str, environment: Mapping[str, str]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for name in ("home", "tmp", "outer"):
            (folder / name).mkdir(parents=True)
        (folder / "tmp").chmod(0o1777)
        (folder / "passwd").write_text(
            f"root:x:0:0:root:{folder}/home:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
        )
        (folder / "shadow").write_text("root:*:20000:0:99999:7:::\n")
        shell = {"PATH": f"{sys.prefix}/bin:{PATH}", **environment}
        exports = "".join(f"export {name}='{value}'\n" for name, value in shell.items())
        (folder / "home" / ".bashrc").write_text(exports)
        (folder / "home" / ".profile").write_text(". ~/.bashrc\n")
        config = SSHD.format(address=address, hostkey=self._folder / "hostkey", key=self.key)
        (folder / "sshd_config").write_text(config)

    def _plug_in(self, pid: int, address: str) -> None:
        """Lay a cable from the bridge into the network namespace that the process has made for itself."""
        ours = os.readlink("/proc/self/ns/net")
        wait_until(lambda: os.readlink(f"/proc/{pid}/ns/net") != ours, f"a network of the host {address}")
        cable = self._cable(address)
        _run("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _run("ip", "link", "set", cable, "master", self._bridge, "up")

    def _cable(self, address: str) -> str:
        return f"{self._bridge}-{address.rpartition('.')[2]}"

    def _answers(self, address: str) -> bool:
        try:
            return self.run(address, "echo here") == "here\n"
        except subprocess.SubprocessError:
            return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS, env={**os.environ, "PATH": PATH})


def _in_tmp(path: Path) -> bool:
    return path.resolve().is_relative_to("/tmp")


def _keep(path: Path, folder: Path) -> str:
    """Shell lines that bring a folder of the outer /tmp back into sight."""
    inside = path.resolve().relative_to("/tmp")
    return f"mkdir -p /tmp/{inside}; mount --bind {folder}/outer/{inside} /tmp/{inside}"
