"""The ``tractprobe`` command: prepare and audit corpora, train, look at runs, invert audio."""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tractprobe.system.arguments import CommandParser, Parser
from tractprobe.system.errors import ConfigError, TractprobeError
from tractprobe.system.printable import printable
from tractprobe.system.stopping import stoppable
from tractprobe.system.version import __version__

if TYPE_CHECKING:
    from tractprobe.corpora.prepared.corpus import PreparedCorpus

_OF_HYDRA = {
    "train": "fit heads on the layers of an encoder, and test them: tractprobe train model=builtin held_out=it",
    "evaluate": "score a finished run again: tractprobe evaluate run=runs/builtin/all/ridge/it/s0",
    "pretrain": "raise an encoder on prepared speech: tractprobe pretrain corpora=[speech] pretrain.minutes=60",
    "prepare": "raw corpus -> prepared corpus: tractprobe prepare corpus=hprc corpus.root=/data/hprc",
}
"""Commands whose arguments are Hydra's, and what they do."""


def main(arguments: list[str] | None = None) -> int:
    """Run a subcommand; a user's mistake gives one line on stderr and exit status 1."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in _OF_HYDRA:
        from tractprobe.commands import run

        run(arguments[0], arguments[1:])
        return 0
    parsed = _parser().parse_args(arguments)
    try:
        with stoppable(parsed.continued):
            return parsed.run(parsed)
    except TractprobeError as error:
        print(printable(f"tractprobe: {error}"), file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader, such as head, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="tractprobe", description="Do frozen speech encoders hold the vocal tract?")
    parser.add_argument("--version", action="version", version=f"tractprobe {__version__}")
    parser.set_defaults(continued="")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=CommandParser)
    for name, text in _OF_HYDRA.items():
        commands.add_parser(name, help=text, add_help=False)
    table = commands.add_parser("table", help="layer x held-out means with 95 %% intervals of finished runs")
    table.add_argument("runs", type=Path, help="folder of run directories, such as runs/")
    table.add_argument(
        "--csv", type=Path, metavar="FILE", help="also write the tidy table: a row per speaker and channel"
    )
    table.add_argument("--bom", action="store_true", help="begin the CSV with a byte order mark, for spreadsheets")
    table.add_argument("--pictures", type=Path, metavar="FOLDER", help="also draw r against layer, and each table")
    table.add_argument("--against", metavar="HEAD", help="also compare the other heads with this one, such as ridge")
    table.set_defaults(run=_table)
    _add_report(commands)
    status = commands.add_parser("status", help="which runs are done, running, failed (and why) or missing")
    status.add_argument("runs", type=Path, help="folder of run directories, such as runs/")
    status.set_defaults(run=_status)
    sync = commands.add_parser("wandb-sync", help="upload all offline W&B runs by one `wandb sync`")
    sync.add_argument("runs", type=Path, help="folder of run directories, such as runs/")
    sync.add_argument("--dry-run", action="store_true", help="only print the command")
    sync.set_defaults(run=_wandb_sync)
    audit = commands.add_parser("audit", help="does a prepared corpus, as read, look like human speech movements?")
    audit.add_argument("corpus", nargs="+", help="its name below TRACTPROBE_DATA (data/), or its folder")
    audit.add_argument("--page", type=Path, metavar="FILE", help="also write pictures and the table as an HTML page")
    audit.add_argument(
        "--against",
        metavar="HEAD",
        help="also compare with what a head of other corpora reads: a file, or builtin, the head of the package",
    )
    audit.add_argument("--limits", type=Path, metavar="FILE", help="a table of limits, used in addition to our own")
    audit.add_argument(
        "--calibrate", action="store_true", help="print the limits that these corpora, known to be good, ask for"
    )
    audit.set_defaults(run=_audit)
    shar = commands.add_parser("shar", help="prepared corpus -> lhotse Shar, tar shards for object storage")
    shar.add_argument("corpus", help="its name below TRACTPROBE_DATA (data/), or its folder")
    shar.add_argument("output", type=Path, help="folder to make")
    shar.add_argument("--shard-size", type=int, default=1000, metavar="N", help="utterances in a shard (1000)")
    shar.set_defaults(run=_shar)
    _add_inversion(commands)
    _add_play(commands)
    completion = commands.add_parser("completion", help='completion by TAB: eval "$(tractprobe completion bash)"')
    completion.add_argument("shell", choices=["bash", "zsh", "fish"])
    completion.add_argument("--line", help=argparse.SUPPRESS)
    completion.set_defaults(run=_completion)
    return parser


def _label(text: str) -> "int | str":
    return int(text) if text.isdecimal() else text


def _add_inversion(commands: "argparse._SubParsersAction[CommandParser]") -> None:
    export = commands.add_parser(
        "export",
        help="finished run -> head file: one layer with all that inversion takes",
        description="Write one layer's head of a finished run to a file that `tractprobe invert` turns audio into "
        "movements with, here or at somebody else's: it needs neither the run nor the corpora.",
    )
    export.add_argument("directory", type=_run_directory, metavar="RUN", help="the directory of a finished run, such "
                        "as runs/builtin/all/ridge/it/s0")  # fmt: skip
    export.add_argument("--layer", type=_label, metavar="N", help="which layer (the best by validation)")
    export.add_argument("--output", type=Path, metavar="FILE", help="where to write it (head-layer<N>.safetensors in "
                        "the run's directory)")  # fmt: skip
    export.set_defaults(run=_export)
    invert = commands.add_parser(
        "invert",
        help="audio -> movements of tongue, lips and jaw in mm, also as pictures",
        description="Infer from sound alone how tongue, lips and jaw moved; write a table in mm for each recording. "
        "Example: tractprobe invert recordings/ --html",
    )
    add = invert.add_argument
    add("audio", type=Path, nargs="+", help="recordings, or folders of them, whose structure the output keeps")
    add(
        "--head",
        default="builtin",
        metavar="FILE",
        help="a file written by `tractprobe export` (builtin: the head of the package, of simulated speech)",
    )
    add("--output", type=Path, default=Path("inverted"), metavar="FOLDER", help="where files go (inverted/)")
    add(
        "--format",
        default="csv",
        metavar="F[,F...]",
        help="tables: csv (by default), npz (for numpy), phones (a row per phone, made anyway where a TextGrid lies "
        "beside the audio)",
    )
    add("--html", action="store_true", help="also a page per file: the midsagittal plane moving, with the sound")
    add("--video", action="store_true", help='also an MP4 per file; needs pip install "tractprobe[video]"')
    add("--rate", type=float, metavar="HZ", help="rows per second (as many as the encoder has frames, mostly 50)")
    add("--lowpass", type=float, metavar="HZ", help="remove faster movements first; heads learn those below 10 Hz")
    add("--speaker", metavar="NAME", help="in whose mouth: a speaker that the head was trained on (the average of all)")
    add("--encoder", metavar="NAME", help="Hub id or folder of the encoder, if it has moved")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 ... (cpu)")
    add("--existing", choices=["refuse", "skip", "replace"], default="refuse", help="outputs that exist (refuse)")
    add("--tier", metavar="NAME", help="the TextGrids' tier of phones (phones, phone, MAU ..., or the only one)")
    add("--no-grids", action="store_true", help="ignore the TextGrids beside the audio")
    add("--channel", type=int, metavar="N", help="the channel of audio with several, from 0")
    invert.set_defaults(run=_invert, continued="run the same command with --existing skip to continue")


def _add_play(commands: "argparse._SubParsersAction[CommandParser]") -> None:
    play = commands.add_parser(
        "play",
        help="an utterance of a prepared corpus as a page: the moving mouth, with sound",
        description="Write a page, for any browser, of how tongue, lips and jaw moved in a recording of a prepared "
        "corpus, and of what a head makes of its sound. "
        "Example: tractprobe play virtual_demo f1_it_004 --head my-head.safetensors",
    )
    add = play.add_argument
    add("corpus", help="its name below TRACTPROBE_DATA (data/), or its folder; virtual and virtual_demo are built in")
    add("utterance", nargs="?", help="its id in the corpus (the first)")
    add(
        "--head",
        metavar="FILE",
        help="also what a head, written by `tractprobe export`, or builtin, that of the package, predicts from the "
        "sound, and r of each channel",
    )
    add("--video", action="store_true", help='also an MP4; needs pip install "tractprobe[video]"')
    add("--output", type=Path, default=Path("played"), metavar="FOLDER", help="where the page goes (played/)")
    add("--encoder", metavar="NAME", help="Hub id or folder of the head's encoder, if it has moved")
    add("--device", default="cpu", help="where the encoder runs: cpu, cuda, cuda:1 ... (cpu)")
    add("--existing", choices=["refuse", "replace"], default="refuse", help="a page that exists (refuse)")
    play.set_defaults(run=_play)


def _add_report(commands: "argparse._SubParsersAction[CommandParser]") -> None:
    report = commands.add_parser(
        "report",
        help="the evidence as one page: claims by rule, a section for each analysis, provenance",
        description="Write what the analyses and runs below a folder found as one page for any browser, with a "
        "Markdown twin and claims.csv. Example: tractprobe report runs/",
    )
    add = report.add_argument
    add("runs", type=Path, help="folder of run directories, such as runs/")
    add("--output", type=Path, metavar="FOLDER", help="where the page goes, or its file name (RUNS/report)")
    add("--title", default="The evidence", help="heading of the page (The evidence)")
    add("--no-player", dest="player", action="store_false", help="without moving utterances, which read the corpora")
    report.set_defaults(run=_report)


def _run_directory(text: str) -> Path:
    return Path(text.removeprefix("run="))


def _table(arguments: argparse.Namespace) -> int:
    from tractprobe.evidence.tables.rows import collect, write_csv
    from tractprobe.evidence.tables.table import layer_tables

    if arguments.bom and not arguments.csv:
        raise ConfigError("--bom is how a CSV begins: give --csv FILE, too")
    rows = collect(arguments.runs)
    tables = layer_tables(rows)
    print("\n\n".join(map(str, tables)))
    if arguments.csv:
        write_csv(arguments.csv, rows, bom=arguments.bom)
        print(f"\n{len(rows)} rows in {arguments.csv}")
    if arguments.pictures:
        from tractprobe.evidence.tables.figures import write_pictures

        print("\n" + "\n".join(map(str, write_pictures(tables, arguments.pictures))))
    if arguments.against:
        from tractprobe.evidence.tables.comparison import differences, table

        print("\n" + table(differences(rows, arguments.against), arguments.against))
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from tractprobe.commands.report import report

    return report(arguments)


def _status(arguments: argparse.Namespace) -> int:
    from tractprobe.runs.status import statuses, summary, table

    each = statuses(arguments.runs)
    print(f"{table(each)}\n\n{summary(each)}" if each else f"no runs below {arguments.runs}")
    return 0


def _wandb_sync(arguments: argparse.Namespace) -> int:
    import shlex
    import subprocess

    from tractprobe.runs.wandb_runs import note_uploaded, sync_command

    command = sync_command(arguments.runs)
    if arguments.dry_run:
        print(shlex.join(command))
        return 0
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        note_uploaded(arguments.runs)
    return status


def _audit(arguments: argparse.Namespace) -> int:
    from tractprobe.commands.audit import audit_corpus, calibrate

    corpora = [_opened(name) for name in arguments.corpus]
    if arguments.calibrate:
        return calibrate(corpora, arguments.limits)
    if len(corpora) > 1:
        raise ConfigError(f"audit {' '.join(arguments.corpus)}: give one corpus; several only with --calibrate")
    return audit_corpus(corpora[0], arguments.page, arguments.limits, arguments.against)


def _opened(name: str) -> "PreparedCorpus":
    """Open a prepared corpus by its folder, or by its name below the folder of prepared corpora."""
    from tractprobe.corpora.prepared.corpus import PreparedCorpus

    is_folder = "/" in name or Path(name, "corpus.json").is_file()
    return PreparedCorpus(Path(name) if is_folder else Path(os.environ.get("TRACTPROBE_DATA", "data"), name))


def _shar(arguments: argparse.Namespace) -> int:
    from tractprobe.corpora.prepared.shar import export_shar

    count = export_shar(_opened(arguments.corpus), arguments.output, arguments.shard_size)
    print(f"{count} shards in {arguments.output}; lhotse.CutSet.from_shar(in_dir={str(arguments.output)!r}) reads them")
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from tractprobe.inversion.export import export

    path = export(arguments.directory, arguments.layer, arguments.output)
    print(f"{path}\ntractprobe invert AUDIO --head {path}")
    return 0


def _invert(arguments: argparse.Namespace) -> int:
    from tractprobe.inversion.builtin import head_path
    from tractprobe.inversion.head_header import check_header
    from tractprobe.inversion.plan import Plan, Wanted

    shown = [name for name in ("html", "video") if getattr(arguments, name)]
    wanted = Wanted(
        formats=(*arguments.format.split(","), *shown),
        rate_hz=arguments.rate,
        lowpass_hz=arguments.lowpass,
        existing=arguments.existing,
        tier=arguments.tier,
        channel=arguments.channel,
        grids=not arguments.no_grids,
    )
    head = head_path(arguments.head)
    check_header(head)
    plan = Plan.of(arguments.audio, arguments.output, wanted)
    if plan.ignored:
        print(f"tractprobe: {plan.ignored}", file=sys.stderr)
    from tractprobe.inversion.files import invert_files  # errors in files are reported before torch is imported
    from tractprobe.inversion.inverter import load_head

    report = invert_files(load_head(head, arguments.device, arguments.encoder, arguments.speaker), plan)
    print(printable(f"{report} in {arguments.output}"))
    return 1 if report.problems else 0


def _play(arguments: argparse.Namespace) -> int:
    from tractprobe.commands.play import opened_or_built_in, play

    return play(arguments, opened_or_built_in(arguments.corpus, _opened))


def _completion(arguments: argparse.Namespace) -> int:
    from tractprobe.commands.completion import SCRIPTS, candidates

    if arguments.line is None:
        print(SCRIPTS[arguments.shell], end="")
    else:
        print("\n".join(candidates(arguments.line, _parser(), _OF_HYDRA)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
