"""`portmail init`: reads another program's settings once, and prints ours. Nothing is connected."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from portmail.cli.exits import OK, UsageError
from portmail.cli.report import in_json, tell, tell_aside
from portmail.importing.reading import READERS, read

if TYPE_CHECKING:
    from portmail.importing.writing import Translation

NAME = "init"
HELP = "read the settings of another mail program once, and print ours"

_DIALECTS = ("django", "nodemailer", "symfony")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line."""
    parser.description = f"{HELP}. What each takes as SOURCE: " + "; ".join(
        f"{name}: {reader.source}" for name, reader in READERS.items()
    )
    parser.add_argument("--from", dest="program", required=True, choices=tuple(READERS))
    parser.add_argument(
        "source",
        nargs="?",
        metavar="SOURCE",
        help="see above. Code of yours that it names is run: settings are code",
    )
    parser.add_argument("--account", metavar="NAME", help="msmtp's account, git's identity, Django's mailer")
    parser.add_argument("--host", metavar="HOST", help="netrc's machine")
    parser.add_argument("--dialect", choices=_DIALECTS, help="who reads the URL; default: django")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--show-password", action="store_true", help="print it, in the URL")
    secret.add_argument(
        "--password-file", metavar="FILE", help="write the password into this new file (0600)"
    )
    parser.add_argument("--output", metavar="FILE", help="write into this new file (0600), print nothing")


def run(options: argparse.Namespace) -> int:
    """Read, translate, tell what is otherwise here, print."""
    from portmail.importing.found import Asked
    from portmail.importing.writing import password_path, password_text, translate, write_private

    _refuse_unfit(options)
    path = password_path(options.password_file) if options.password_file else None
    found = read(
        options.program,
        Asked(source=options.source, account=options.account, host=options.host, dialect=options.dialect),
    )
    translation = translate(found, show_password=options.show_password, password_file=path)
    secret = ((path, password_text(found)),) if path else ()
    output = ((options.output, _text(translation)),) if options.output else ()
    write_private(*secret, *output)
    _print(translation, options)
    return OK


def _refuse_unfit(options: argparse.Namespace) -> None:
    """Options that say nothing to that program, and files that are there already: before anything is read."""
    reader = READERS[options.program]
    for name in ("account", "host", "dialect"):
        if getattr(options, name) is not None and name not in reader.options:
            raise UsageError(f"--{name} says nothing to --from {options.program}")
        if not getattr(options, name) and name in reader.required:
            raise UsageError(f"--from {options.program} needs --{name}")
    for path in filter(None, (options.output, options.password_file)):
        if os.path.lexists(path):
            raise UsageError(f"{path} exists, and is left as it is: name another file")


def _text(translation: Translation) -> str:
    return "".join(f"{line}\n" for line in translation.lines)


def _print(translation: Translation, options: argparse.Namespace) -> None:
    for note in translation.notes:
        tell_aside(f"portmail: {note}")
    if options.json:
        tell(in_json(translation.data))
    elif not options.output:
        tell(_text(translation).removesuffix("\n"))
