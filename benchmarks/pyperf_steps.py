"""Step times by pyperf's own runner: calibrated loops, warm-ups, many processes.

    python -m benchmarks.pyperf_steps -o steps.json            rigorous: 20 processes an optimizer, some minutes
    python -m benchmarks.pyperf_steps --fast --optimizers sgd,ngd-gram -o steps.json
    python -m pyperf compare_to before.json steps.json

pyperf's workers get an almost empty environment; the settings that decide about threads and devices are handed on
by name, and stand in the file with the rest of the environment.
"""

import os
import time

INHERITED = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("CUDA_VISIBLE_DEVICES", "PYTHONPATH", "TNGD_BENCH_DATA"),
)
PARAMETERS = 1_000


def _seconds(loops, name):
    """Return the seconds of `loops` steps of optimizer `name`; what is made before is not timed."""
    from benchmarks.case import make_case
    from tngd_bench.measure.optimizer_config import OptimizerConfig

    instance, data, _ = make_case(PARAMETERS)
    optimizer = instance.optimizer(OptimizerConfig.of(name, lr=1e-7), instance.model())
    inputs, targets = next(instance.batches(data))
    optimizer.step(inputs, targets)
    start = time.perf_counter()
    for _ in range(loops):
        optimizer.step(inputs, targets)
    return time.perf_counter() - start


def _hand_on(command, args):
    command += ["--optimizers", args.optimizers]


def main():
    """Run what the command line asks for."""
    import pyperf  # here, since asv imports every module of this folder, and its environment has no pyperf

    from tngd_bench.optimizers import registry as optimizers

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    runner = pyperf.Runner(add_cmdline_args=_hand_on)
    names = list(optimizers.names())
    runner.argparser.add_argument("--optimizers", default=",".join(names), help="names, with commas")
    arguments = runner.parse_args()
    arguments.inherit_environ = [*(arguments.inherit_environ or ()), *INHERITED]
    if arguments.worker:
        from tngd_bench.measure.environment import describe_environment
        from tngd_bench.measure.threads import use_threads
        from tngd_bench.studies.store.export_pyperf import pyperf_metadata

        use_threads(int(os.environ["OMP_NUM_THREADS"]))
        environment = describe_environment() | {"threads": int(os.environ["OMP_NUM_THREADS"])}
        # pyperf states what it knows itself: processor, python, date
        own = ("cpu_affinity", "torch", "torch_build", "blas", "threads", "commit_id", "tngd_bench_version")
        stated = pyperf_metadata(environment)
        runner.metadata |= {name: stated[name] for name in own if name in stated}
    for name in arguments.optimizers.split(","):
        optimizers.get(name)
        runner.bench_time_func(f"step/{name}/N={PARAMETERS}", _seconds, name)


if __name__ == "__main__":
    main()
