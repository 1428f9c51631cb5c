"""The section on a device in a digital loop: products that it saves conjugate gradients, and what it takes for them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from tngd_bench.analysis import optimizer_names, quantities
from tngd_bench.analysis.cost.iteration_cost import SETTING
from tngd_bench.analysis.cost.products_saved import products_saved
from tngd_bench.analysis.families import Infos
from tngd_bench.analysis.results import Results
from tngd_bench.analysis.setting_names import parameter_name
from tngd_bench.optimizers import registry
from tngd_bench.report.document import charting, slugs, tables
from tngd_bench.report.document.charting import Chart
from tngd_bench.report.document.figures import charts_of, figure_of
from tngd_bench.report.document.palette import INK, marks
from tngd_bench.report.document.section import Section
from tngd_bench.report.document.tables import Cell, Column, amount
from tngd_bench.studies.file.optimizer_label import label_texts
from tngd_bench.studies.store import columns as c

ANCHOR = "preconditioning"
_ERROR = "programming_error"


def preconditioning_sections(results: Results) -> tuple[Section, ...]:
    """Return the section where conjugate gradients were timed with a device and without; none otherwise."""
    saved = products_saved(results)
    if saved.empty:
        return ()
    return (
        Section(
            ANCHOR,
            "What a device saves conjugate gradients",
            points=savings(saved),
            charts=charts_of(ANCHOR, results),
            tables=(_table(saved, results.infos),),
        ),
    )


def savings(saved: pd.DataFrame) -> tuple[str, ...]:
    """Return up to which programming error a device saves products, by setting and by what else its label says."""
    errors = saved[c.OPTIMIZER].map(lambda label: float(label_texts(label).get(_ERROR, "nan")))
    beside = saved[c.OPTIMIZER].map(_without_error)
    said = []
    swept = saved.assign(error=errors, beside=beside)[errors.notna()]
    name, level = parameter_name(_ERROR), quantities.level
    for row, part in c.groups(swept, [*SETTING, "beside"]):
        ordered = part.sort_values("error")
        helps = ordered["reached"] & (ordered["saved"] > 0)
        several = (
            swept.loc[(swept[SETTING] == [row[key] for key in SETTING]).all(axis=1), "beside"].nunique() > 1
        )
        who = _device(part.iloc[0], {_ERROR}) if several else "the device"
        size = ("N", c.PARAMETERS), ("b", c.BATCH_SIZE), ("d_z", c.OUTPUTS)
        varied = [each for each in size if each == size[0] or swept[each[1]].nunique() > 1]
        at = ", ".join(f"{sign} = {quantities.count(float(row[key]))}" for sign, key in varied)
        saves = f"At {at} {who} saves products"
        if helps.all():
            worst = float(ordered["error"].iloc[-1])
            said.append(f"{saves} at every {name} tried, up to {level(worst)}.")
            continue
        first = float(ordered.loc[~helps, "error"].iloc[0])
        milder = ordered.loc[(ordered["error"] < first), "error"]
        up_to = f"up to a {name} of {level(float(milder.iloc[-1]))}" if len(milder) else f"at no {name} tried"
        again = [level(error) for error in ordered.loc[helps & (ordered["error"] > first), "error"]]
        if again and not len(milder):
            said.append(f"{saves} at a {name} of {quantities.listed(again)}, and at no other tried.")
        elif again:
            said.append(f"{saves} {up_to}, not at {level(first)}, and again at {quantities.listed(again)}.")
        else:
            said.append(f"{saves} {up_to}; from {level(first)} on it does not.")
    return tuple(said)


def _without_error(label: str) -> str:
    return str(sorted((name, text) for name, text in label_texts(label).items() if name != _ERROR))


def _cases(results: Results) -> list[pd.DataFrame]:
    saved = products_saved(results)
    return [part for _, part in saved.groupby([c.GROUP, c.PROBLEM, *c.SIZE], sort=True)]


@figure_of(ANCHOR, "products of conjugate gradients with a device and without", cases=_cases)
def products_chart(results: Results, saved: pd.DataFrame) -> Chart:
    """Draw the products that conjugate gradients take with each device, beside those without."""
    infos, styles = results.infos, marks(results.infos)
    rows = tables.sorted_rows(saved, [c.OPTIMIZER], infos)
    figure, axes = charting.panel(1.2 + 0.42 * len(rows))
    places = np.arange(len(rows))[::-1]
    colours = [styles[label].colour.light for label in rows[c.OPTIMIZER]]
    axes.barh(places, rows["products"], color=colours, height=0.42)
    for place, row in zip(places, c.each(rows), strict=True):
        text = f"{row.products:g}" if row.reached else f"> {row.products:g}, not reached"
        axes.text(row.products, place, f" {text}", va="center", fontsize=8)
        axes.text(0.0, place + 0.24, _device(row), va="bottom", fontsize=7.5)
    for plain in sorted(set(rows["plain_products"])):
        axes.axvline(plain, color=INK.light, linewidth=1.0, linestyle="--", label="without a device")
    axes.set_yticks([])
    axes.set(
        ylim=(-0.6, len(rows)),
        xlabel="curvature products of a solve (counted)",
        xlim=(0, 1.3 * float(rows["products"].max())),
    )
    charting.legend_below(figure, axes)
    size = rows.iloc[0]
    where = f"{size[c.GROUP]}, N = {quantities.count(float(size[c.PARAMETERS]))}, b = {size[c.BATCH_SIZE]}"
    best = rows.sort_values("saved", kind="stable").iloc[-1]
    return Chart(
        slugs.slug(
            "products-saved", *map(str, (size[c.GROUP], size[c.PROBLEM], *(size[name] for name in c.SIZE)))
        ),
        f"Products of conjugate gradients with a device and without ({where})",
        f"Products to the tolerance. Fewest with {infos[best[c.OPTIMIZER]].title}: {best['products']:g}, "
        f"{best['plain_products']:g} without a device.",
        "Counted, medians over processes; the dashed line: plain conjugate gradients to the same tolerance. Each "
        "product is the host's, and each takes one answer of the device.",
        figure,
        rows,
    )


def _device(row: Any, without: Collection[str] = ()) -> str:
    """Return the name of a row's device, without the settings that it has in common with the plain solve."""
    beside = {*label_texts(row.plain), *without}
    own = {name: text for name, text in label_texts(row.optimizer).items() if name not in beside}
    preset = own.pop(c.DEVICE, "") or registry.get("ngd-cg-device").defaults[c.DEVICE]
    return optimizer_names.name(str(preset), own)


def _table(saved: pd.DataFrame, infos: Infos) -> tables.Table:
    def share(row: Any) -> Cell:
        if not row.reached:
            return Cell(None, "tolerance not reached")
        minus = "−" if row.saved < 0 else ""
        part = quantities.percent(abs(row.saved) / row.plain_products)
        return Cell(row.saved, f"{minus}{abs(row.saved):g} ({minus}{part})")

    def per(unit: str, price: str) -> Column:
        def cell(row: Any) -> Cell:
            paid = getattr(row, price)
            if not row.reached or row.saved <= 0:
                return Cell(None, "none saved")
            if np.isnan(paid) or paid <= 0:
                return Cell(None, "not stated")
            # a bill that is a lower bound makes what is saved for it an upper one
            bound = "≤ " if row.bound or unit == "J" else ""
            return Cell(row.saved / paid, f"{bound}{quantities.significant(row.saved / paid)}")

        return Column(f"saved per {unit} of the device", cell, tables.MODELLED)

    def bill(row: Any) -> Cell:
        return Cell(row.device_s, ("≥ " if row.bound else "") + quantities.seconds(row.device_s))

    columns = (
        tables.optimizer_column(infos),
        amount("N", c.PARAMETERS),
        amount("products without", "plain_products", clock=tables.COUNTED),
        amount("products with", "products", clock=tables.COUNTED),
        Column("saved", share, tables.COUNTED),
        Column(
            "host's time saved",
            lambda row: Cell(row.host_saved_s, _signed_seconds(row.host_saved_s)),
            tables.MEASURED,
        ),
        Column("device's time", bill, tables.MODELLED),
        per("s", "device_s"),
        per("J", "device_j"),
        tables.SECTION,
        tables.RECORDS,
    )
    caption = (
        "CG products saved by a device that answers the residuals, to the same tolerance; a negative number: more are "
        "taken. The host also makes the rows that the device is programmed with. ≤: items of the bill are not stated, "
        "so that less is saved for each second or joule. Joules are of the items that have a price."
    )
    rows = tables.sorted_rows(saved, [c.GROUP, c.PARAMETERS, c.OPTIMIZER], infos)
    return tables.table_of("products-saved", caption, columns, rows)


def _signed_seconds(seconds: float) -> str:
    return ("−" if seconds < 0 else "") + quantities.seconds(abs(seconds))
