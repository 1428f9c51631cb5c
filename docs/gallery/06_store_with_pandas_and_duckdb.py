"""
A store with pandas and DuckDB
==============================

What a study measured is in `store/`. Its tables are Parquet files, which any tool reads.
"""

import tempfile
from pathlib import Path

import duckdb
import pandas as pd

from tngd_bench.analysis import Results
from tngd_bench.studies import Study

folder = Path(tempfile.mkdtemp())
training = {
    "name": "digits",
    "problem": "digits-mlp",
    "parameters": 500,
    "train_size": 160,
    "epochs": 2,
    "seeds": 2,
    "optimizers": ["sgd", "ngd-gram"],
}
Study(name="small", title="Small", training=[training]).run(folder)
Results(folder)  # reading a store writes its tables

# %%
# With pandas: the last training loss of each run.

tables = folder / "store" / "tables"
curves = pd.read_parquet(tables / "curves.parquet")
print(curves.groupby(["optimizer", "seed"])["train_loss"].last())

# %%
# With DuckDB, straight from the files.

print(
    duckdb.sql(
        f"""
        SELECT optimizer, count(DISTINCT seed) AS seeds, median(train_loss) AS median_loss
        FROM '{tables / "curves.parquet"}' WHERE iteration >= 8 GROUP BY optimizer ORDER BY optimizer
        """
    )
)

# %%
# A trial is one JSON file with a digest of its content: what a number on a page is traced to.

print(
    duckdb.sql(
        f"SELECT content.finished, content.machine FROM read_json('{folder / 'store' / 'trials'}/*.json') LIMIT 1"
    )
)
