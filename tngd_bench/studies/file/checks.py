"""Checks of a study that has the right shape: names are known, values go together, the size is bounded."""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from tngd_bench.optimizers import registry as optimizers
from tngd_bench.problems import registry as problems
from tngd_bench.problems.entry import ProblemEntry
from tngd_bench.problems.metrics import LOSS, both_parts
from tngd_bench.spu.device import Device
from tngd_bench.studies import engines
from tngd_bench.studies.errors import StudyError
from tngd_bench.studies.file.devices import own_devices, refuse_unknown
from tngd_bench.studies.file.optimizer_label import as_setting, config_of, expand_label, read_label
from tngd_bench.studies.file.schema import CostSection, Settings, Study, TrainingSection
from tngd_bench.studies.file.study_table import StudyTable, shown_path
from tngd_bench.studies.file.sweeps import levels_of, settings_of
from tngd_bench.studies.file.toml_lines import KeyPath

MOST_TRIALS = 1_000_000
_SECTION_FILES = "section (files are named after it, and in those A is a, and _ is -)"


def complete(study: Study, table: StudyTable, *, idle: bool = False) -> Study:
    """Return the study as it will be run: labels with lists written out, sections not enabled left out.

    Every section is checked, those left out too; an `idle` study need not have any. StudyError with place, key, value
    and what is accepted.
    """
    return _Checks(study, table, idle).complete()


@dataclasses.dataclass(frozen=True)
class _Checks:
    study: Study
    table: StudyTable
    idle: bool

    def complete(self) -> Study:
        study, name = self.study, self.table.name
        if not (study.cost or study.training or self.idle):
            raise StudyError(f"{name}: nothing to do: no [[cost]] and no [[training]] section")
        self._check_tables()
        names = [*(section.name for section in study.cost), *(section.name for section in study.training)]
        place = ("cost" if study.cost else "training",)
        self.table.refuse_repeats(place, "section", names)
        self.table.refuse_repeats(place, _SECTION_FILES, map(_in_file_names, names))
        cost = [self._cost(section, number) for number, section in enumerate(study.cost)]
        training = [self._training(section, number) for number, section in enumerate(study.training)]
        checked = dataclasses.replace(
            study,
            cost=tuple(section for section in cost if section.enabled),
            training=tuple(section for section in training if section.enabled),
        )
        if not (checked.cost or checked.training or self.idle):
            raise StudyError(f"{name}: nothing to do: no section is enabled")
        number = sum(map(_trials_of_cost, checked.cost)) + sum(map(_trials_of_training, checked.training))
        if number > MOST_TRIALS:
            much = f"the study unrolls to {number:,} trials"
            raise StudyError(f"{name}: {much}; accepted: at most {MOST_TRIALS:,}")
        return checked

    def _check_tables(self) -> None:
        study, at = self.study, self.table.at
        with at("execution", "engine"):
            engines.get(study.execution.engine)
        settings: dict[KeyPath, Settings] = {("optimizer",): study.optimizer, ("tuned",): study.tuned}
        settings |= {("tuned_for", where, "tuned"): each.tuned for where, each in study.tuned_for.items()}
        for path, tables in settings.items():
            for name, values in tables.items():
                with at(*path, name):
                    entry = optimizers.get(name)
                for key, value in values.items():
                    with at(*path, name, key, named=(*path, name)):
                        if not (key == "device" and value in study.device):
                            entry.check({key: as_setting(key, value)})
        for name, fields in study.device.items():
            with at("device", name):
                if name in Device.presets():
                    raise ValueError("a shipped device has this name; accepted: another one")
            for key in fields:
                with at("device", name, key, named=("device", name)):
                    refuse_unknown(key)
            with at("device", name):
                own_devices(study, name)
        for name, options in study.problem.items():
            with at("problem", name):
                problems.get(name, options)

    def _cost(self, section: CostSection, number: int) -> CostSection:
        here: KeyPath = ("cost", number)
        problem = self._problem(section, here)
        for key in ("parameters", "batch_size", "outputs"):
            values = map(str, getattr(section, key))
            self.table.refuse_repeats((*here, key), f"cost[{section.name}].{key}:", values)
        for outputs in section.outputs:
            for size in section.parameters:
                with self.table.at(*here, "parameters"):
                    problem.widths(size, outputs)
        return dataclasses.replace(section, optimizers=self._labels(section, here))

    def _training(self, section: TrainingSection, number: int) -> TrainingSection:
        here: KeyPath = ("training", number)
        problem = self._problem(section, here)
        with self.table.at(*here, "parameters"):
            problem.widths(section.parameters, section.outputs)
        known = [each.column for each in both_parts((LOSS, *problem.metrics))]
        for place, target in enumerate(section.targets):
            if target.metric not in known:
                with self.table.at(*here, "targets", place, "metric"):
                    raise ValueError(f"must be one of: {', '.join(known)}; not {target.metric!r}")
        labels = self._labels(section, here)
        self._check_sweeps(section, labels, (*here, "sweep"))
        return dataclasses.replace(section, optimizers=labels)

    def _problem(self, section: CostSection | TrainingSection, here: KeyPath) -> ProblemEntry:
        with self.table.at(*here, "problem"):
            return problems.get(section.problem, self.study.problem.get(section.problem))

    def _labels(self, section: CostSection | TrainingSection, here: KeyPath) -> tuple[str, ...]:
        labels: list[str] = []
        path = (*here, "optimizers")
        for place, written in enumerate(section.optimizers):
            with self.table.at(*path, place, named=path):
                for label in expand_label(written):
                    config_of(self.study, label, section.problem)
                    labels.append(label)
        self._refuse_one_twice(labels, path)
        return tuple(labels)

    def _refuse_one_twice(self, labels: Iterable[str], path: KeyPath) -> None:
        """Raise StudyError for two labels of one optimizer with one setting: their records could not be told apart."""
        seen: dict[object, str] = {}
        for label in labels:
            read = read_label(label)
            meaning = read.name, read.tuned, _hashable(read.settings)
            if meaning in seen:
                again = "" if seen[meaning] == label else f", as {seen[meaning]!r}"
                key = shown_path(path, self.table.table)
                raise self.table.error(path, f"{key}: {label!r} appears more than once{again}")
            seen[meaning] = label

    def _check_sweeps(self, section: TrainingSection, labels: Iterable[str], path: KeyPath) -> None:
        sweeps = section.sweep or ()
        key = shown_path(path, self.table.table)
        self.table.refuse_repeats(path, f"{key}: parameter", (sweep.parameter for sweep in sweeps))
        for sweep in sweeps:
            identities = [level.identity for (level,) in levels_of([sweep])]
            self.table.refuse_repeats(path, f"{key}.values:", identities)
            self.table.refuse_repeats(path, f"{key}.labels:", sweep.labels)
        for label in labels:
            for sweep in sweeps:
                if sweep.parameter in read_label(label).settings:
                    with self.table.at(*path):
                        raise StudyError(f"{sweep.parameter!r} is swept and set in {label!r} as well")
            for levels in levels_of(sweeps) if sweeps else ():
                with self.table.at(*path):
                    config_of(self.study, label, section.problem, settings_of(levels))


def _in_file_names(section: str) -> str:
    """Return a section's name as figures are called after it, where A and a, and _ and -, are one."""
    return section.lower().replace("_", "-")


def _hashable(value: object) -> object:
    """Return a value of a setting in a form that can be looked up; tables have no order."""
    if isinstance(value, Mapping):
        return frozenset((key, _hashable(each)) for key, each in value.items())
    return value


def _trials_of_cost(section: CostSection) -> int:
    sizes = len(section.parameters) * len(section.batch_size) * len(section.outputs)
    return sizes * (section.processes + len(section.optimizers))


def _trials_of_training(section: TrainingSection) -> int:
    levels = math.prod(len(sweep.values) for sweep in section.sweep or ())
    return section.seeds * len(section.optimizers) * levels
