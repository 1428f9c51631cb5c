"""The targets of `paper-fig3`: what four in five reruns of Adam reach, on seeds that the study does not have.

    python -m benchmarks.fig3_targets                      nine reruns at the paper's settings, nine tuned (minutes)
    python -m benchmarks.fig3_targets --keep FOLDER        the same; the store is kept, and a later run continues it

Of nine reruns the second worst is the target (`time_to_target.target_from_reference`): a further one misses it with
probability 2/10. Seeds come from the name of the study, so that those of `paper-fig3` are others.
"""

from benchmarks.runs import command_line, keep_option, recorded, store_folder
from tngd_bench.analysis.training.final_scores import final_values
from tngd_bench.analysis.training.time_to_target import target_from_reference
from tngd_bench.studies.file.reading import load_study

STUDY, SECTION, SEEDS = "paper-fig3", "training", 9
TARGETS = (("adam", "test_accuracy"), ("adam[tuned]", "test_accuracy"), ("adam", "train_loss"))


def main() -> None:
    """Run the baselines and print the targets."""
    parser = command_line(__doc__)
    keep_option(parser)
    overrides = [
        'name="fig3-targets"',
        f"training.{SECTION}.seeds={SEEDS}",
        f'training.{SECTION}.optimizers=["adam", "adam[tuned]"]',
        "cost.fig3-cost.enabled=false",
    ]
    with store_folder(parser.parse_args().keep) as folder:
        records = recorded(load_study(STUDY, overrides=overrides), folder)
    final = final_values(records.trials, records.curves)
    for optimizer, metric in TARGETS:
        target = target_from_reference(final, SECTION, optimizer, metric)
        print(f"{optimizer}: {target.describe()}; {target.provenance}")


if __name__ == "__main__":
    main()
