"""Reads a cluster file of Ray's launcher, with a person's own changes laid over it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import UserError

ClusterFile = dict[str, Any]


class ClusterFileError(UserError):
    """A cluster file that cannot be used; the message is one line for a person."""


def read_cluster(path: Path, overlay: Path | None = None) -> ClusterFile:
    """The cluster file at `path`, as `overlay` changes it.

    Raises: ClusterFileError where a file is missing or is no YAML mapping.
    """
    cluster = _read_mapping(path)
    return laid_over(cluster, _read_mapping(overlay)) if overlay else cluster


def laid_over(cluster: Mapping[str, Any], changes: Mapping[str, Any]) -> ClusterFile:
    """A copy of `cluster` with `changes`: mappings merged key by key, null removing a key, all else replacing."""
    changed = copy.deepcopy(dict(cluster))
    for key, value in changes.items():
        if value is None:
            changed.pop(key, None)
        elif isinstance(value, Mapping):
            under = changed.get(key)
            changed[key] = laid_over(under if isinstance(under, Mapping) else {}, value)
        else:
            changed[key] = copy.deepcopy(value)
    return changed


def worker_kinds(cluster: ClusterFile) -> dict[str, dict[str, Any]]:
    """The node kinds that a sweep's trials may run on, by name; the head's is left out."""
    head = cluster.get("head_node_type")
    return {name: kind for name, kind in cluster.get("available_node_types", {}).items() if name != head}


def _read_mapping(path: Path) -> ClusterFile:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ClusterFileError(f"{path} cannot be read ({error.strerror}); name a cluster file.") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise ClusterFileError(f"{place}: {error.problem or error.context}; correct the YAML there.") from None
    if not isinstance(content, dict):
        raise ClusterFileError(f"{path} holds no YAML mapping; start from cluster.yaml.")
    return content
