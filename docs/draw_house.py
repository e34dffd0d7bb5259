"""Draws the house for docs/architecture.md from its imports: rooms by floor, and which room imports which.

    python docs/draw_house.py            # rewrites the drawing in docs/architecture.md

An arrow that follows from others is left out: where a imports b and b imports c, none is drawn from a to c.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
FLOORS = ("sweeps", "analysis", "trainables", "data")
BEGIN, END = "<!-- drawing -->\n", "<!-- end of drawing -->\n"


def rooms(root: Path = ROOT) -> dict[str, set[str]]:
    """Each room (a folder of a floor; a floor's own files are the floor's), and the rooms that it imports."""
    found: dict[str, set[str]] = {}
    for path in sorted(path for floor in FLOORS for path in (root / floor).rglob("*.py")):
        room = _room(path.relative_to(root).parts[:-1])
        found.setdefault(room, set())
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                folder = root.joinpath(*name.split("."))
                folder = folder if folder.is_dir() else folder.parent
                if name.split(".")[0] in FLOORS:
                    found[room] |= {_room(folder.relative_to(root).parts)} - {room}
    return found


def _room(folders: tuple[str, ...]) -> str:
    """A room's name from the folders of a file: the floor and the first folder below it."""
    return "/".join(folders[:2])


def drawn(found: dict[str, set[str]]) -> str:
    """The rooms as a Mermaid flowchart, which renders on GitHub and reads as text."""
    lines = ["```mermaid", "flowchart TD"]
    for floor in FLOORS:
        lines.append(f"    subgraph {floor}")
        lines += [f"        {_id(room)}[{room}]" for room in sorted(found) if room.split("/")[0] == floor]
        lines.append("    end")
    lines += [f"    {_id(room)} --> {_id(other)}" for room in sorted(found) for other in sorted(_needed(found, room))]
    return "\n".join([*lines, "```", ""])


def _needed(found: dict[str, set[str]], room: str) -> set[str]:
    """The rooms that `room` imports and that none of the others it imports leads to."""
    direct = found[room]
    return {other for other in direct if not any(other in _reached(found, via) for via in direct - {other})}


def _reached(found: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = {start}
    while waiting:
        new = found.get(waiting.pop(), set()) - seen
        seen |= new
        waiting |= new
    return seen


def _id(room: str) -> str:
    return room.replace("/", "_")


def with_drawing(page: str, drawing: str) -> str:
    """The page with this drawing in the place of the former one."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + drawing + END + after


if __name__ == "__main__":
    PAGE.write_text(with_drawing(PAGE.read_text(encoding="utf-8"), drawn(rooms())), encoding="utf-8")
    sys.exit(0)
