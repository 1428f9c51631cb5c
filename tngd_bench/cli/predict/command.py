"""`tngd-bench predict`: one iteration by formula, at sizes no machine here could run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tngd_bench.cli.option_kinds import FILE, default_option, flag_option, several_option
from tngd_bench.cli.predict import options, sweep
from tngd_bench.cli.study_options import plugin_option
from tngd_bench.unwritable import cannot_be_written

if TYPE_CHECKING:
    from tngd_bench.optimizers.roofline import Prediction

_EPILOG = """\b
Examples:
  tngd-bench predict --parameters 20000 --batch 64 --outputs 10
  tngd-bench predict --parameters 1e12 --batch 1024 --outputs 10 --device rram
  tngd-bench predict --parameters 25.5e6 --batch 32 --outputs 1000 --forward-flops 8.2e9 --processor h100
  tngd-bench predict --parameters 1e5 --batch 64 --problem mnist-cnn --processor a100 --precision tf32
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --set upload=factored --processor a100 --json
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --sweep link_rate=1e9:1e13 --figure link.svg
  tngd-bench predict --parameters 1e6 --batch 64 --outputs 10 --sweep device=paper,rram,pcm --processor a100

Every figure is modelled: nothing is run. Times of a processor are lower bounds; what else is assumed is printed below
the figures. What a processor has too little memory for is marked and gets no time.
"""


@click.command(epilog=_EPILOG)
@plugin_option
@options.count_option("--parameters", required=True, help="Trainable parameters N; 1e12 is understood.")
@options.count_option(
    "--batch", "batch_size", required=True, help="Batch size b: images, or sequences of tokens."
)
@options.count_option(
    "--outputs",
    help="Outputs per sample d_z, of all its positions; m = b·d_z rows. Needed without --problem.",
)
@default_option("--device", default="paper", help="Preset, name in a --plugin, or FILE.toml:NAME of a study.")
@click.option("--processor", help="Host and digital competitor: a100, h100, epyc-7763.")
@default_option(
    "--precision",
    default="fp32",
    help="fp64, fp32, tf32, bf16 or fp16: the processor's rate, and the bytes of a number.",
)
@options.real_option(
    "--flops", help="A rate of your own in FLOP/s, for the processor at that precision (2 a multiply-add)."
)
@click.option("--problem", help="Take the layers of this problem's model (`list problems`) nearest to N.")
@options.real_option(
    "--positions",
    help="Places of a sample at which a weight is used: tokens of a sequence, pixels of an image. [default: 1]",
)
@options.real_option(
    "--forward-flops",
    help="FLOP of one sample's forward pass (2 a multiply-add), in place of --positions: 2N times them.",
)
@options.count_option(
    "--depth", type=options.depth, help="Equal square layers that N stands in. [default: 4]"
)
@options.count_option("--cg-iterations", help="Iterations of NGD-CG. [default: as a fit expects them]")
@options.real_option(
    "--damping", default=0.01, show_default=True, help="λ, on which the iterations of NGD-CG depend."
)
@options.analog_options
@several_option("--set", "overrides", metavar="NAME=VALUE", help="Another value of what --sweep can name.")
@click.option(
    "--sweep",
    "swept",
    metavar="NAME=VALUES",
    help="Run one quantity, once, through V1,V2,… or LOW:HIGH[:POINTS]: link_rate, tau, bits, parameters, batch, "
    "outputs, positions, cg_iterations, damping, device, an analog setting, or a device field, words included: "
    "device=paper,rram; upload=full,factored.",
)
@click.option(
    "--figure", type=FILE, help="Draw the sweep into this .svg, .png or .pdf, its data beside it as .csv."
)
@flag_option("--json", "as_json", help="Print JSON: one object, or a list of rows with --sweep.")
def command(
    device: str,
    processor: str | None,
    precision: str,
    flops: float | None,
    problem: str | None,
    forward_flops: float | None,
    overrides: tuple[str, ...],
    swept: str | None,
    figure: Path | None,
    as_json: bool,
    **asked: Any,  # the other options have the names of arguments of `predict`
) -> None:
    """Predict one iteration: the device's ledger, the digital optimizers, the break-even link rate."""
    from tngd_bench.cli.predict import text
    from tngd_bench.optimizers.roofline import predict
    from tngd_bench.optimizers.roofline_table import as_table
    from tngd_bench.spu.processor import Processor

    if figure is not None and swept is None:
        raise click.UsageError("--figure draws a sweep; add --sweep NAME=VALUES")
    if flops is not None and processor is None:
        raise click.UsageError("--flops replaces the rate of a processor; add --processor")

    name, values = (None, ()) if swept is None else sweep.parse(swept)
    options.refuse_twice(overrides, name)
    overrides, set_sizes, device = options.apart(overrides, device)

    precision = precision.lower()

    def predicted(sizes: Mapping[str, Any], fields: Mapping[str, Any]) -> Prediction:
        described = options.device(str(fields.get("device", device)), overrides)
        changed = {name: value for name, value in fields.items() if name != "device"}
        return predict(
            described.override(**changed) if changed else described,
            processor=None if processor is None else Processor.named(processor, precision, flops),
            precision=precision,
            **options.sizes(asked | set_sizes | dict(sizes), problem, forward_flops),
        )

    try:
        if name is not None:
            farads = options.device(device, overrides).capacitance_farad
            click.echo(_swept(name, values, predicted, farads, figure, as_json))
            return
        prediction = predicted({}, {})
    except (ValueError, TypeError) as error:
        raise click.UsageError(str(error)) from error
    if as_json:
        click.echo(json.dumps(as_table(prediction), indent=2, ensure_ascii=False))
    else:
        click.echo(text.as_text(prediction))


def _swept(
    name: str,
    values: Sequence[float | str],
    predicted: Callable[[Mapping[str, Any], Mapping[str, Any]], Prediction],
    farads: float,
    figure: Path | None,
    as_json: bool,
) -> str:
    from tngd_bench.optimizers.roofline_table import assumptions

    predictions = sweep.predictions(name, values, predicted, farads)
    rows = sweep.rows(name, values, predictions)
    if figure is not None:
        _draw(rows, name, predictions[0], figure)
    if as_json:
        both = zip(rows, predictions, strict=True)
        stated = [row | {"assumptions": list(assumptions(p))} for row, p in both]
        return json.dumps(stated, indent=2, ensure_ascii=False)
    return sweep.as_text(rows, name, predictions)


def _draw(rows: list[dict[str, Any]], name: str, p: Prediction, figure: Path) -> None:
    from tngd_bench.report.cost.prediction_chart import formats, write_prediction

    if figure.suffix.lower() not in formats():
        raise click.UsageError(f"--figure takes a name ending in {', '.join(formats())}, not {str(figure)!r}")
    sizes = {"parameters": f"N = {p.work.parameters:,}", "batch": f"b = {p.work.batch_size}"}
    where = ", ".join(text for key, text in sizes.items() if key != name)
    try:
        write_prediction(rows, name, p.device.name if name != "device" else "", where, figure)
    except OSError as error:
        raise click.UsageError(cannot_be_written(f"--figure {figure}", figure, error)) from None
