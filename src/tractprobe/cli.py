"""The ``tractprobe`` command: prepare a corpus, tabulate results."""

import argparse
import sys
from pathlib import Path

from tractprobe import __version__
from tractprobe.errors import TractprobeError


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
    table.set_defaults(run=_table)
    return parser


def _table(arguments: argparse.Namespace) -> int:
    from tractprobe.results import collect, layer_tables, write_csv

    rows = collect(arguments.runs)
    print("\n\n".join(map(str, layer_tables(rows))))
    if arguments.csv:
        write_csv(arguments.csv, rows)
        print(f"\n{len(rows)} rows in {arguments.csv}")
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
            print(describe(prepare(build(settings["corpus"]), Path(settings["paths"]["data"]))))

    sys.argv = ["tractprobe prepare", *overrides]
    run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
