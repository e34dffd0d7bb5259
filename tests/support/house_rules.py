"""Reads the modules of a house and finds what breaks its rules: imports, names, paths, and what may run code."""

from __future__ import annotations

import ast
import graphlib
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

FLOORS = {"data": 1, "trainables": 2, "analysis": 3, "sweeps": 4, "tests": 5}
SCRIPT_FOLDERS = ("sweeps", "analysis", "data")  # running a file puts its folder first on the path
WITHOUT_SEARCH = ("data", "trainables", "analysis")
WITHOUT_RAY = (
    "trainables.records",
    "trainables.model",
    "trainables.memory",
    "trainables.training",
    "trainables.quality",
)
# Rooms of `trainables`, from the lowest: each imports only those before it.
TRAINABLES_ROOMS = ("records", "model", "memory", "quality", "training", "working")
UPLOADER = "sweeps.cluster.job_client"
PICKLES = ("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")


@dataclass(frozen=True)
class Module:
    """A file of ours: its dotted name, its syntax tree, and every dotted name that it imports, wherever it does."""

    name: str
    path: Path
    tree: ast.Module
    imports: frozenset[str]


House = dict[str, Module]


def read_house(root: Path) -> House:
    """Every module of the packages in `root`, by dotted name."""
    house: House = {}
    for package in FLOORS:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
            home = name if is_package else name.rpartition(".")[0]
            house[name] = Module(name, path, tree, frozenset(imported_names(tree, home)))
    return house


def imported_names(tree: ast.Module, home: str) -> Iterator[str]:
    """Dotted names that `tree` imports; `from a import b` may mean a module a.b, so both are told."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = home.split(".")[: len(home.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and last_name(node.func) in ("import_module", "__import__"):
            yield from (str(argument.value) for argument in node.args[:1] if isinstance(argument, ast.Constant))


def last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def is_under(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def targets(house: House, module: Module) -> set[str]:
    """The modules of ours that `module` imports; of a.b and a.b.c the longer, where it is one."""
    found = module.imports & set(house)
    return {name for name in found if not any(other != name and is_under(other, name) for other in found)}


def reached(house: House, start: str) -> set[str]:
    """The modules of ours that importing `start` may load, packages on the way included."""
    seen: set[str] = set()
    waiting = {start}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        parts = name.split(".")
        around = {".".join(parts[:length]) for length in range(1, len(parts))} & set(house)
        waiting |= (around | (house[name].imports & set(house))) - seen
    return seen


def arrows_up(house: House) -> list[str]:
    """Imports of a higher floor; the tests' own modules count as the highest, also by their bare names."""
    floor = {name: FLOORS[name.split(".")[0]] for name in house}
    floor |= {name.split(".")[1]: FLOORS["tests"] for name in house if name.startswith("tests.")}
    return [
        f"{module.name} imports {imported}, which is above it"
        for module in house.values()
        for imported in sorted(module.imports)
        if floor.get(imported, 0) > floor[module.name]
    ]


def circles(house: House) -> list[str]:
    graph = {name: targets(house, module) - {name} for name, module in house.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def room_circles(house: House) -> list[str]:
    """Rooms (folders of a package) that import one another in a circle; commands stand above all rooms."""
    graph: dict[str, set[str]] = {}
    for name, module in house.items():
        room, _, _ = name.rpartition(".")
        if room.count(".") != 1 or is_under(name, "tests"):
            continue
        others = {target.rpartition(".")[0] for target in targets(house, module)}
        graph.setdefault(room, set()).update(o for o in others if o != room and o.count(".") == 1)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return [" <- ".join(error.args[1])]
    return []


def search_below_sweeps(house: House) -> list[str]:
    return [
        f"{module.name} imports {imported}"
        for module in house.values()
        if module.name.split(".")[0] in WITHOUT_SEARCH
        for imported in sorted(module.imports)
        if is_under(imported, "ray.tune") or is_under(imported, "optuna")
    ]


def ray_in_light_modules(house: House) -> list[str]:
    """Also through other modules of ours, since they are loaded too."""
    light = [name for name in house if any(is_under(name, package) for package in WITHOUT_RAY)]
    return [
        f"{name} loads {through}, which imports {imported}"
        for name in light
        for through in sorted(reached(house, name))
        for imported in sorted(house[through].imports)
        if is_under(imported, "ray")
    ]


def heavy_in_contract(house: House) -> list[str]:
    """Heavy libraries that loading the contract's modules loads too; an import inside a function does not count."""
    contract = [name for name in house if is_under(name, "trainables.records")]
    return [
        f"{name} loads {through}, which imports {imported}"
        for name in contract
        for through in sorted(loaded(house, name))
        for imported in sorted(set(top_level_imports(house[through])))
        if imported.split(".")[0] in ("torch", "ray", "transformers") and "." not in imported
    ]


def top_level_imports(module: Module) -> set[str]:
    """Dotted names that are imported when the module is loaded."""
    home = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    statements = [node for node in module.tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    found = set(imported_names(ast.Module(body=list(statements), type_ignores=[]), home))
    return found | {name.split(".")[0] for name in found}


def loaded(house: House, start: str) -> set[str]:
    """The modules of ours that importing `start` loads."""
    seen: set[str] = set()
    waiting = {start}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= (top_level_imports(house[name]) & set(house)) - seen
    return seen


def room_arrows_up(house: House) -> list[str]:
    """Imports by a room of `trainables` of a room above it."""
    level = {f"trainables.{room}": number for number, room in enumerate(TRAINABLES_ROOMS)}

    def room_of(name: str) -> str:
        return ".".join(name.split(".")[:2])

    return [
        f"{module.name} imports {imported}, a room above"
        for module in house.values()
        if room_of(module.name) in level
        for imported in sorted(targets(house, module))
        if level.get(room_of(imported), -1) > level[room_of(module.name)]
    ]


def more_than_standard(house: House, name: str, *, beside: Collection[str] = ()) -> list[str]:
    """Roots of what a module imports from outside the standard library, but for what it takes from `beside`."""
    others = (i for i in house[name].imports if not any(i == b or i.startswith(f"{b}.") for b in beside))
    roots = {imported.split(".")[0] for imported in others}
    return [f"{name} imports {root}" for root in sorted(roots - set(sys.stdlib_module_names))]


def shadows(house: House, installed: Mapping[str, object]) -> list[str]:
    """Files and folders of the script folders whose name would be found instead of another module."""
    taken = {*FLOORS, *installed, *sys.stdlib_module_names}
    own = {tuple(name.split(".")[:2]) for name in house if name.split(".")[0] in SCRIPT_FOLDERS and "." in name}
    return [f"{folder}/{name} hides another module named {name}" for folder, name in sorted(own) if name in taken]


def path_edits(house: House) -> list[str]:
    """Any use of sys.path: reading it is rarely needed, and every edit needs its name."""
    found = []
    for module in house.values():
        used = any(
            isinstance(node, ast.Attribute) and node.attr == "path" and last_name(node.value) == "sys"
            for node in ast.walk(module.tree)
        )
        if used or "sys.path" in module.imports:
            found.append(f"{module.name} uses sys.path")
    return found


def given_arguments(module: Module) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of keyword arguments and of entries in dict displays."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.keyword) and node.arg:
            yield node.arg, node.value
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant):
                    yield str(key.value), value
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
                    yield str(target.slice.value), node.value
                elif isinstance(target, (ast.Attribute, ast.Name)):
                    yield last_name(target), node.value


def working_folders(house: House) -> list[str]:
    """In all but what uploads the checkout for a job; a second folder beside that one would hold another copy."""
    return [
        f"{module.name} sets working_dir"
        for module in house.values()
        for name, _ in given_arguments(module)
        if name == "working_dir" and module.name != UPLOADER
    ]


def unpickles(tree: ast.Module) -> bool:
    """Whether a pickle module is imported for more than the name of an error to catch."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] in PICKLES for alias in node.names):
            return True
        if (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[0] in PICKLES
            and not all(alias.name.endswith("Error") for alias in node.names)
        ):
            return True
    return False


def unsafe_loading(house: House) -> list[str]:
    """In all but the tests, which make unsafe files to see them refused."""
    found = []
    for module in house.values():
        if is_under(module.name, "tests"):
            continue
        if unpickles(module.tree):
            found.append(f"{module.name} imports a pickle module")
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Attribute) and node.attr == "load" and last_name(node.value) == "torch":
                found.append(f"{module.name} uses torch.load")
        if "torch.load" in module.imports:
            found.append(f"{module.name} uses torch.load")
        for name, value in given_arguments(module):
            if name == "trust_remote_code" and not (isinstance(value, ast.Constant) and value.value is False):
                found.append(f"{module.name} may trust remote code")
    return found
