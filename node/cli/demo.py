"""``wetread demo``: the main job on real images, on this machine, with nothing to configure."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click
from PIL import Image
from pydicom import dcmread
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from node.app.stores import Stores, open_stores
from node.cli.demo_config import demo_configuration
from node.cli.demo_data import DemoStudy, demo_studies
from node.cli.demo_pacs import DemoPacs
from node.cli.demo_report import statements
from node.config.destination import DimseDestination
from node.config.load import load_config
from node.deliver import scu
from node.domain import ENDED, MANUFACTURER, StudyState
from node.errors import TransientError
from node.log import configure_logging

START_WITHIN_S = 60.0
STUDY_WITHIN_S = 240.0
ROUTED_BACK_WITHIN_S = 10.0
REPOSITORY_MODELS = Path(__file__).resolve().parents[2] / "models"


@click.command()
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-output"),
    show_default=True,
    help="Folder for the pictures and the DICOM results.",
)
@click.option(
    "--models",
    "models_dir",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=REPOSITORY_MODELS,
    help="Folder with the reference model packages.",
)
@click.option("--keep", is_flag=True, help="Leave PACS and node running until Ctrl-C.")
def demo(output: Path, models_dir: Path, keep: bool) -> None:
    """Start a small PACS and a node, send a chest radiograph and a CT, and show what comes back."""
    configure_logging("error", "console", role="demo")
    console = Console(highlight=False)
    cases = demo_studies()
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wetread-demo-") as scratch:
        node_port, web_port = _free_port(), _free_port()
        node = DimseDestination(ae_title="WETREAD", host="127.0.0.1", port=node_port)
        pacs = DemoPacs(output / "pacs", "DEMOPACS", route_to=node)
        for old in pacs.folder.glob("*.dcm"):
            old.unlink()
        pacs_port = pacs.start()
        config_file = Path(scratch) / "wetread.yaml"
        config_file.write_text(
            demo_configuration(
                Path(scratch) / "data",
                models_dir.resolve(),
                node_port=node_port,
                pacs_port=pacs_port,
                web_port=web_port,
            )
        )
        console.rule("the whole configuration")
        console.print(config_file.read_text(), markup=False)
        try:
            with _running_node(config_file, node, output / "node.log"):
                _run_studies(console, cases, config_file, pacs, pacs_port, output)
                if keep:
                    console.print(
                        f"\nstill running: status page http://127.0.0.1:{web_port}/, PACS port "
                        f"{pacs_port}, node port {node_port}; Ctrl-C ends it"
                    )
                    _until_interrupted()
        finally:
            pacs.stop()


def _run_studies(
    console: Console,
    cases: list[DemoStudy],
    config_file: Path,
    pacs: DemoPacs,
    pacs_port: int,
    output: Path,
) -> None:
    """Send each study to the PACS, wait until the node has settled it, and show the outcome."""
    stores = open_stores(load_config(config_file))
    modality = DimseDestination(ae_title="DEMOPACS", host="127.0.0.1", port=pacs_port)
    failed = False
    for case in cases:
        uid = str(dcmread(case.files[0], stop_before_pixels=True).StudyInstanceUID)
        console.rule(case.name)
        console.print(f"{len(case.files)} images; {case.source}")
        with Progress(
            SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console
        ) as progress:
            line = progress.add_task("sending to the PACS, which routes it to the node")
            scu.send(list(case.files), modality, "DEMOCT", lambda _path, _outcome: None)
            state = _wait_until_settled(stores, uid, partial(_describe, progress, line))
        failed |= state is not StudyState.DONE
        _show(console, stores, pacs, uid, case, output)
    console.print(f"\npictures, DICOM results and the node's log are in [bold]{output}[/bold]")
    if failed:
        raise click.ClickException(f"a study did not end well; see {output / 'node.log'}")


def _describe(progress: Progress, line: TaskID, text: str) -> None:
    progress.update(line, description=text)


def _wait_until_settled(stores: Stores, uid: str, tell: Callable[[str], None]) -> StudyState:
    deadline = time.monotonic() + STUDY_WITHIN_S
    while time.monotonic() < deadline:
        study = stores.index.study(uid)
        if study is not None:
            revisions = stores.index.revisions(uid)
            done = stores.ledger.steps(uid, study.revision)
            last = f", {done[-1].step} {done[-1].subject}" if done else ""
            tell(f"{study.state}: {study.instances} images received{last}")
            if revisions and revisions[-1].state in ENDED and study.state in ENDED:
                return study.state
        time.sleep(0.1)
    raise click.ClickException(f"study {uid} was not settled within {STUDY_WITHIN_S:g} s")


def _show(
    console: Console, stores: Stores, pacs: DemoPacs, uid: str, case: DemoStudy, output: Path
) -> None:
    study = stores.index.study(uid)
    if study is not None:
        console.print(f"study {uid}: [bold]{study.state}[/bold] {study.reason}")
    results = pacs.stored(
        lambda ds: ds.StudyInstanceUID == uid and ds.get("Manufacturer") == MANUFACTURER
    )
    objects = Table("came back to the PACS", "series", "measurements and findings")
    for path in results:
        ds = dcmread(path)
        objects.add_row(
            f"{ds.Modality} ({path.stat().st_size // 1024} kB)",
            str(ds.get("SeriesDescription", "")),
            "\n".join(statements(ds)),
        )
        if ds.Modality not in ("SEG", "SR"):
            name = case.name.replace(" ", "-")
            picture = output / f"{name}-{ds.SeriesNumber}.png"
            Image.fromarray(ds.pixel_array).save(picture)
            console.print(f"picture: [bold]{picture}[/bold]")
    console.print(objects)
    steps = Table("step", "of", "seconds")
    for revision in stores.index.revisions(uid):
        for row in stores.ledger.steps(uid, revision.revision):
            steps.add_row(row.step, row.subject, f"{row.seconds:.2f}")
    console.print(steps)
    deadline = time.monotonic() + ROUTED_BACK_WITHIN_S
    while stores.index.returned_count(uid) < len(results) and time.monotonic() < deadline:
        time.sleep(0.1)
    console.print(
        f"own results that the PACS routed back and the node left out: "
        f"{stores.index.returned_count(uid)} of {len(results)}"
    )


@contextmanager
def _running_node(config_file: Path, node: DimseDestination, log_file: Path) -> Iterator[None]:
    """Run ``wetread run`` until the block ends."""
    command = [sys.executable, "-m", "node", "run", "--config", str(config_file)]
    with log_file.open("wb") as log_stream:
        process = subprocess.Popen(command, stderr=log_stream, stdout=log_stream)  # noqa: S603
        try:
            _wait_for_echo(node, process, log_file)
            yield
        finally:
            process.terminate()
            process.wait()


def _wait_for_echo(
    node: DimseDestination, process: subprocess.Popen[bytes], log_file: Path
) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            scu.echo(node, "DEMOPACS")
        except TransientError:
            time.sleep(0.2)
        else:
            return
    raise click.ClickException(f"the node did not start; see {log_file}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
