"""`tngd-bench predict` in this process, and the size that most tests ask for."""

from click.testing import CliRunner

from tngd_bench.cli.predict.command import command

SIZES = ["--parameters", "20000", "--batch", "64", "--outputs", "10"]


def predict(*arguments):
    result = CliRunner().invoke(command, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output
