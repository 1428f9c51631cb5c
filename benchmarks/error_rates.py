"""Error rates of a report's statements where the truth is known: the rate each says, and the one found.

    python -m benchmarks.error_rates                 all of them (a few minutes on one core)
    python -m benchmarks.error_rates --runs 50       fewer draws: wider error bars

Data with a known truth are drawn and judged by the functions that a report uses. A row passes while the rate found is
not above the one said by more than three Monte-Carlo errors. Exit code 1 where one is. What is "not promised" is shown
for comparison: what would be wrong without the rule that a page states.
"""

import sys

from benchmarks import known_truth_maps, known_truth_times, known_truth_training
from benchmarks.known_truth import Rate, Statement, measure
from benchmarks.runs import command_line

RUNS = 200
STATEMENTS: list[Statement] = sorted(
    (*known_truth_training.STATEMENTS, *known_truth_times.STATEMENTS, *known_truth_maps.STATEMENTS),
    key=lambda statement: statement.audit,
)


def row(found: Rate, width: int) -> str:
    """Return a row of the table."""
    statement = found.statement
    says = f"{100 * statement.says:4.1f} %" if statement.promised else "     –"
    return (
        f"{statement.audit:>3}  {statement.name:{width}}  {says}  {100 * found.rate:5.1f} ± {100 * found.error:4.1f} %"
        f"  {found.number:5d}  {found.verdict}"
    )


def main() -> int:
    """Print a row for each statement: what it says, what was found, whether it is kept."""
    parser = command_line(__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help=f"data sets of each statement ({RUNS})")
    given = parser.parse_args()
    width = max(len(statement.name) for statement in STATEMENTS)
    print(f"  #  {'statement (wrong at most)':{width}}    says  measured ± MC    sets  verdict")
    kept = True
    for statement in STATEMENTS:
        found = measure(statement, given.runs)
        kept &= found.kept
        print(row(found, width), flush=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
