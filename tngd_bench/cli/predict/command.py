"""`tngd-bench predict`: one iteration by formula, at sizes no machine here could run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.cli.option_kinds import FILE, flag_option, print_json
from tngd_bench.cli.predict import options, sweep
from tngd_bench.unwritable import is_foreign, refused_as

if TYPE_CHECKING:
    from tngd_bench.optimizers.roofline import Prediction

_EPILOG = """\b
Examples:
  tngd-bench predict --parameters 20000 --batch 64 --outputs 10
  tngd-bench predict --parameters 1e12 --batch 1024 --outputs 10 --device rram
  tngd-bench predict --model resnet50 --batch 256 --processor h100 --host-precision tf32
  tngd-bench predict --parameters 25.5e6 --batch 32 --outputs 1000 --forward-flops 8.2e9 --processor h100
  tngd-bench predict --parameters 1e5 --batch 64 --problem mnist-cnn --processor a100 --precision tf32
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --set upload=factored --processor a100 --json
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --sweep link_rate=1e9:1e13 --figure link.svg
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --sweep device=paper,rram,pcm --processor a100

Every figure is modelled: nothing is run. Times of a processor are lower bounds; what else is assumed is printed below
the figures. What a processor has too little memory for is marked and gets no time.
"""


@click.command(epilog=_EPILOG)
@options.question_options()
@click.option(
    "--sweep",
    "swept",
    metavar="NAME=VALUES",
    help="Run one quantity, once, through V1,V2,… or LOW:HIGH[:POINTS]: link_rate, tau, bits, parameters, batch, "
    "outputs, positions, cg_iterations, damping, overlap, host_precision, device, an analog setting, or a device "
    "field, words included: device=paper,rram; upload=full,factored.",
)
@click.option(
    "--figure", type=FILE, help="Draw the sweep into this .svg, .png or .pdf, its data beside it as .csv."
)
@flag_option("--json", "as_json", help="Print JSON: one object, or a list of rows with --sweep.")
def command(swept: str | None, figure: Path | None, as_json: bool, **asked: Any) -> None:
    """Predict an iteration on a device, and its rivals'. Printed are the bill and the break-even link rate."""
    from tngd_bench.analysis.cost.device_verdict import device_verdict
    from tngd_bench.cli.predict import text
    from tngd_bench.optimizers.roofline_table import as_table

    if figure is not None and swept is None:
        raise click.UsageError("--figure draws a sweep; add --sweep NAME=VALUES")
    name, values = (None, ()) if swept is None else sweep.parse(swept)
    try:
        question = options.Asked.of(asked, name)
        if name is not None:
            click.echo(_swept(name, values, question, figure, as_json))
            return
        prediction = question.predict({}, {})
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        print_json(as_table(prediction) | {"verdict": device_verdict(prediction)})
    else:
        click.echo(text.as_text(prediction))


def _swept(
    name: str, values: Sequence[float | str], question: options.Asked, figure: Path | None, as_json: bool
) -> str:
    from tngd_bench.optimizers.roofline_table import assumptions, factor_assumptions

    predictions = sweep.predictions(name, values, question.predict, question.described.capacitance_farad)
    rows = sweep.rows(name, values, predictions)
    if figure is not None:
        _draw(rows, name, predictions[0], figure)
    if as_json:
        both = zip(rows, predictions, strict=True)
        stated = [row | {"assumptions": [*assumptions(p), *factor_assumptions(p)]} for row, p in both]
        return json.dumps(stated, indent=2, ensure_ascii=False)
    return sweep.as_text(rows, name, predictions)


def _draw(rows: list[dict[str, Any]], name: str, p: Prediction, figure: Path) -> None:
    from tngd_bench.report.cost.prediction_chart import formats, write_prediction
    from tngd_bench.studies.store import columns as c

    if figure.suffix.lower() not in formats():
        raise click.UsageError(f"--figure takes a name ending in {', '.join(formats())}, not {str(figure)!r}")
    data = figure.with_suffix(".csv")
    if is_foreign(data, c.NOT_STATED) or (figure.exists() and not data.exists()):
        raise click.UsageError(
            f"no sweep wrote {data if data.exists() else figure}, and one would replace it; choose another --figure"
        )
    sizes = {"parameters": f"N = {p.work.parameters:,}", "batch": f"b = {p.work.batch_size}"}
    where = ", ".join(text for key, text in sizes.items() if key != name)
    with refused_as(click.UsageError, figure, f"--figure {figure}"):
        write_prediction(rows, name, p.device.name if name != "device" else "", where, figure)
