"""The ``tractprobe`` command: prepare, audit and export corpora, look after runs."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tractprobe import __version__
from tractprobe.errors import TractprobeError

if TYPE_CHECKING:
    from tractprobe.prepared import PreparedCorpus


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; a user's mistake is one line on stderr and exit status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["prepare"]:  # everything behind it is Hydra's
        return _prepare(arguments[1:])
    parsed = _parser().parse_args(arguments)
    try:
        return parsed.run(parsed)
    except TractprobeError as error:
        print(f"tractprobe: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever reads us, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tractprobe", description="Do frozen speech encoders hold the vocal tract?")
    parser.add_argument("--version", action="version", version=f"tractprobe {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser(
        "prepare",
        help="raw corpus -> prepared corpus: tractprobe prepare corpus=hprc corpus.root=/data/hprc",
        add_help=False,
    )
    table = commands.add_parser("table", help="layer x held-out means with 95 %% intervals of finished runs")
    table.add_argument("runs", type=Path, help="folder of run directories, such as runs/")
    table.add_argument(
        "--csv", type=Path, metavar="FILE", help="also write the tidy table: a row per speaker and channel"
    )
    table.add_argument("--pictures", type=Path, metavar="FOLDER", help="also draw r against layer, and each table")
    table.set_defaults(run=_table)
    status = commands.add_parser("status", help="which runs are done, running, failed (and why) or missing")
    status.add_argument("runs", type=Path, help="folder of run directories, such as runs/")
    status.set_defaults(run=_status)
    sync = commands.add_parser("wandb-sync", help="upload all offline runs of W&B by one `wandb sync`")
    sync.add_argument("runs", type=Path, help="folder of run directories, such as runs/")
    sync.add_argument("--dry-run", action="store_true", help="only print the command")
    sync.set_defaults(run=_wandb_sync)
    audit = commands.add_parser("audit", help="does a prepared corpus, as read, look like human speech movements?")
    audit.add_argument("corpus", help="its name, looked for under TRACTPROBE_DATA (data/), or its folder")
    audit.add_argument("--page", type=Path, metavar="FILE", help="also write pictures and the table as an HTML page")
    audit.set_defaults(run=_audit)
    shar = commands.add_parser("shar", help="prepared corpus -> lhotse Shar, tar shards for object storage")
    shar.add_argument("corpus", help="its name, looked for under TRACTPROBE_DATA (data/), or its folder")
    shar.add_argument("output", type=Path, help="folder to be made")
    shar.add_argument("--shard-size", type=int, default=1000, metavar="N", help="utterances in a shard (1000)")
    shar.set_defaults(run=_shar)
    return parser


def _table(arguments: argparse.Namespace) -> int:
    from tractprobe.results import collect, layer_tables, write_csv

    rows = collect(arguments.runs)
    tables = layer_tables(rows)
    print("\n\n".join(map(str, tables)))
    if arguments.csv:
        write_csv(arguments.csv, rows)
        print(f"\n{len(rows)} rows in {arguments.csv}")
    if arguments.pictures:
        from tractprobe.pictures import write_pictures

        print("\n" + "\n".join(map(str, write_pictures(tables, arguments.pictures))))
    return 0


def _status(arguments: argparse.Namespace) -> int:
    from tractprobe.status import statuses, summary, table

    found = statuses(arguments.runs)
    print(f"{table(found)}\n\n{summary(found)}" if found else f"no runs below {arguments.runs}")
    return 0


def _wandb_sync(arguments: argparse.Namespace) -> int:
    import shlex
    import subprocess

    from tractprobe.tracking import sync_command

    command = sync_command(arguments.runs)
    if arguments.dry_run:
        print(shlex.join(command))
        return 0
    return subprocess.run(command, check=False).returncode


def _audit(arguments: argparse.Namespace) -> int:
    from tractprobe.audit import audit
    from tractprobe.progress import progress

    corpus = _opened(arguments.corpus)
    entries = progress(corpus.entries, f"auditing {corpus.name}", unit="utterance")
    found = audit((corpus.utterance(entry.id) for entry in entries), corpus.palates)
    print(found)
    if arguments.page:
        from tractprobe.audit.page import write_page

        write_page(found, arguments.page, title=f"Audit of {corpus.name}")
        print(f"\npictures in {arguments.page}")
    return 0 if found.passed else 1


def _opened(name: str) -> "PreparedCorpus":
    """Open a prepared corpus by its folder, or by its name below the folder of prepared corpora."""
    from tractprobe.prepared import PreparedCorpus

    is_folder = "/" in name or Path(name, "corpus.json").is_file()
    return PreparedCorpus(Path(name) if is_folder else Path(os.environ.get("TRACTPROBE_DATA", "data"), name))


def _shar(arguments: argparse.Namespace) -> int:
    from tractprobe.shar import export_shar

    count = export_shar(_opened(arguments.corpus), arguments.output, arguments.shard_size)
    print(f"{count} shards in {arguments.output}; lhotse.CutSet.from_shar(in_dir={str(arguments.output)!r}) reads them")
    return 0


def _prepare(overrides: list[str]) -> int:
    import hydra
    from omegaconf import DictConfig

    from tractprobe.config import build, clear_errors, conf_dir, plain, register_resolvers

    register_resolvers()

    @hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="prepare")
    def run(config: DictConfig) -> None:
        with clear_errors():
            from tractprobe.prepare import describe, prepare

            settings = plain(config)
            reader, data = build(settings["corpus"]), Path(settings["paths"]["data"])
            print(describe(prepare(reader, data, settings["workers"], settings["source_channels"])))

    sys.argv = ["tractprobe prepare", *overrides]
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
