"""Is the house as it is drawn? Who imports whom, one door per outside library, sizes, and what is nowhere."""

from __future__ import annotations

import ast
import functools
import graphlib
import statistics
import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import portmail

SOURCE = Path(portmail.__file__).parent

FLOORS = {
    6: "doors for people: the command line, the sandbox, and the package itself",
    5: "doors for code",
    4: "a message's way, and many at a time",
    3: "sessions: how they are opened, and who takes what waits",
    2: "the outside world",
    1: "decisions, and words that hold one",
    0: "words: frozen values, no I/O",
}
HOMES = {
    6: "__main__ cli cli.* importing importing.* integrations integrations.* django django.* sandbox "
    "sandbox.* portmail",
    5: "blocking errand batches door submitter scripting",
    4: "delivery connecting bulk probing checking",
    3: "conclusion opening reaching opener job waiting crew pool pools pinning",
    2: "dialing racing transports transports.* store discovery discovery.* hosting network route_memory "
    "surroundings",
    1: "verdict breaking sasl transaction course hearing exchange pace retry repeating receipt "
    "log settings report diagnosis seen particulars hints case noting",
    0: "confidential phrase reply extensions cause failure errors security route candidate search timeouts "
    "header envelope addresses content submission sealing url composing offloading guarding canonical "
    "attachment folding flattening generating certificate identity situation story spelling language table",
}
DOORS = {
    "aiosmtplib": {"transports.smtp"},
    "dns": {"discovery.resolving"},
    "email_validator": {"envelope"},
    "idna": {"envelope"},
    "rich": {"cli.terminal"},
    "tenacity": {"repeating"},
    "trustme": {"sandbox.certificates"},
}
FRAMEWORKS = {
    "asgiref": "integrations.django",
    "blinker": "integrations.flask",
    "click": "integrations.flask",
    "django": "integrations.django",
    "flask": "integrations.flask",
    "pytest": "integrations.pytest",
}
"""Who uses us: each is imported inside its own integration alone, and comes with whoever has it."""


def named(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "portmail"


MODULES = {named(path): ast.parse(path.read_text("utf-8")) for path in sorted(SOURCE.rglob("*.py"))}


def imports(tree: ast.AST) -> Iterator[str]:
    """Every name that is imported when the program runs, wherever in the file."""
    if isinstance(tree, ast.If) and isinstance(tree.test, ast.Name) and tree.test.id == "TYPE_CHECKING":
        return
    if isinstance(tree, ast.Import):
        yield from (alias.name for alias in tree.names)
    elif isinstance(tree, ast.ImportFrom):
        assert tree.level == 0, "imports are absolute"
        yield from (f"{tree.module}.{alias.name}" for alias in tree.names)
    for node in ast.iter_child_nodes(tree):
        yield from imports(node)


@functools.cache
def every_import(module: str) -> Sequence[str]:
    return list(imports(MODULES[module]))


def own_imports(module: str) -> set[str]:
    """The modules of ours that a module imports."""
    names = [name for name in every_import(module) if name.split(".")[0] == "portmail"]
    return {home(name.removeprefix("portmail").removeprefix(".")) for name in names}


def home(name: str) -> str:
    """The module that `name` is, or in which it is."""
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or "portmail"


@functools.cache
def floors(module: str) -> list[int]:
    return [floor for floor, names in HOMES.items() if any(fnmatch(module, name) for name in names.split())]


def test_every_module_is_on_one_floor() -> None:
    assert {module: floors(module) for module in MODULES if len(floors(module)) != 1} == {}


def test_every_name_on_a_floor_is_a_module() -> None:
    assert HOMES.keys() == FLOORS.keys()
    names = {name for names in HOMES.values() for name in names.split()}
    assert {name for name in names if not any(fnmatch(module, name) for module in MODULES)} == set()


def test_a_module_looks_down_and_never_up() -> None:
    looks = {(module, name) for module in MODULES for name in own_imports(module)}
    assert {(module, name) for module, name in looks if floors(name) > floors(module)} == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: own_imports(module) - {module} for module in MODULES}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order.index("errors") < order.index("submitter") < order.index("cli")


def test_each_outside_library_has_one_door() -> None:
    doors: dict[str, set[str]] = {}
    for module in MODULES:
        for library in {name.split(".")[0] for name in every_import(module)} - {"portmail"}:
            if library not in sys.stdlib_module_names and library not in FRAMEWORKS:
                doors.setdefault(library, set()).add(module)
    assert doors == DOORS


def test_each_framework_is_imported_inside_its_own_integration_alone() -> None:
    for module in MODULES:
        for library in {name.split(".")[0] for name in every_import(module)} & FRAMEWORKS.keys():
            assert f"{module}.".startswith(f"{FRAMEWORKS[library]}."), (module, library)


def test_nobody_else_knows_an_integration() -> None:
    """But what all of them share, such as the names of other libraries' settings."""
    for module in (name for name in MODULES if not name.startswith(("integrations", "django"))):
        known = {name for name in own_imports(module) if name.startswith("integrations.")}
        assert known <= {"integrations.other_settings"}, module


def test_files_are_short() -> None:
    lines = {path: len(path.read_text("utf-8").splitlines()) for path in SOURCE.rglob("*.py")}
    assert {path.name: count for path, count in lines.items() if count > 400} == {}
    assert statistics.median(lines.values()) <= 200


def test_functions_and_classes_are_small() -> None:
    for node in (node for tree in MODULES.values() for node in ast.walk(tree)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 40, node.name
        if isinstance(node, ast.ClassDef):
            methods = [it.name for it in node.body if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)]
            assert len([name for name in methods if not name.startswith("__")]) <= 12, node.name


def test_no_module_is_a_drawer_for_everything() -> None:
    last_names = {module.rpartition(".")[2] for module in MODULES}
    assert not last_names & {"utils", "util", "helpers", "helper", "common", "misc", "tools"}


def calls(name: str) -> list[ast.Call]:
    """Every call of something of this name."""
    return [node for node in every_call() if called(node.func) == name]


@functools.cache
def every_call() -> Sequence[ast.Call]:
    return [node for tree in MODULES.values() for node in ast.walk(tree) if isinstance(node, ast.Call)]


def called(func: ast.expr) -> str:
    """The last name of what is called."""
    if isinstance(func, ast.Attribute | ast.Name):
        return func.attr if isinstance(func, ast.Attribute) else func.id
    return ast.unparse(func).split(".")[-1]


def test_what_could_show_a_credential_in_clear_is_nowhere() -> None:
    assert calls("login") == calls("_create_unverified_context") == []
    text = "".join(path.read_text("utf-8") for path in SOURCE.rglob("*.py"))
    assert [words for words in ("start_tls=None", "verify=False", ".login(") if words in text] == []


def test_aiosmtplib_is_never_given_a_credential_nor_left_to_decide_on_tls() -> None:
    [call] = calls("SMTP")
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    assert call.args == []
    assert set(given) == {
        "hostname",
        "sock",
        "use_tls",
        "start_tls",
        "local_hostname",
        "timeout",
    }
    assert given["use_tls"] == given["start_tls"] == "False"


def test_verification_is_switched_off_in_one_function_only() -> None:
    assert list(weakenings(MODULES["transports.tls"])) == ["unproven_context", "unproven_context"]
    for module, tree in MODULES.items():
        assert module == "transports.tls" or list(weakenings(tree)) == []


def weakenings(tree: ast.AST, function: str = "") -> Iterator[str]:
    """The functions in which a context is told not to verify, once for each time."""
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        function = tree.name
    if isinstance(tree, ast.Attribute | ast.Name):
        name = tree.attr if isinstance(tree, ast.Attribute) else tree.id
        stored = isinstance(tree.ctx, ast.Store)
        if name in ("CERT_NONE", "CERT_OPTIONAL") or (name == "check_hostname" and stored):
            yield function
    for node in ast.iter_child_nodes(tree):
        yield from weakenings(node, function)
