"""`python -m tngd_bench`: the same as the command `tngd-bench`."""

from tngd_bench.cli.main import main

if __name__ == "__main__":
    main()
